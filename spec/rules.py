"""Cross-checks: what must hold between the fields of a spec, and between a spec and those that it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import evolve

from .compile_rules import compile_violations
from .data import Dialogues, Mixture, Mqar, Text
from .evaluation import LossEval
from .init import InitMuP
from .look_rules import look_violations
from .mesh import Mesh
from .model import Alibi, Attention, HfWeights, Llama3Scaling, Mixer, Residual, Rope, Transformer, YarnScaling
from .protocol import READ_ONLY, PythonProtocol, SearchProtocol, SqlProtocol
from .recall_rules import mixer_violations, reading_violations, recall_violations
from .schedule_rules import rate_violations, size_violations
from .schema import kind_of
from .sources import SHA256, HfDataset, Url, several
from .stage_rules import stage_violations
from .tokenizer import SPLITS, BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from .train import Train
from .units import Pattern
from .violation import Lookup, Violation

FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def violations(spec: Any, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a spec breaks."""
    if isinstance(spec, Transformer | Residual):
        yield from _attention(spec)
        yield from mixer_violations(spec)
        yield from _vocabulary(spec, lookup)
        if isinstance(spec, Transformer):
            yield from _weights(spec)
    elif isinstance(spec, ByteTokenizer | TiktokenTokenizer | BpeTokenizer | HfTokenizer):
        yield from _tokenizer(spec)
    elif isinstance(spec, Mesh) and spec.dp * spec.tp != spec.devices:
        product = spec.dp * spec.tp
        message = f"dp x tp is {product} but the mesh has {spec.devices} devices"
        help = f"write devices = {product}, or drop it to have it derived"
        yield Violation("LM0404", message, ("devices",), help, fix=str(product))
    elif isinstance(spec, Text):
        yield from _text(spec, lookup)
    elif isinstance(spec, Mixture):
        yield from _mixture(spec, lookup)
    elif isinstance(spec, SqlProtocol | PythonProtocol | SearchProtocol):
        yield from _protocol(spec, lookup)
    elif isinstance(spec, Mqar):
        yield from recall_violations(spec)
    elif isinstance(spec, Train):
        yield from _train(spec, lookup)
    elif kind_of(type(spec)) in ("eval", "probe"):
        yield from look_violations(spec, lookup)
        if isinstance(spec, LossEval):
            yield from _loss(spec, lookup)


def late_violations(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a train breaks and that need its number of steps, once that is known."""
    yield from rate_violations(spec)
    yield from size_violations(spec, lookup)


def _attention(spec: Transformer | Residual) -> Iterator[Violation]:
    mixer = spec.mixer
    if not isinstance(mixer, Attention):
        if isinstance(spec.positions, Alibi):
            message = "`alibi` lowers scores of attention, and the mixer has none"
            yield Violation("LM0309", message, ("positions", "mixer"), "use attention, or positions : learned or nope")
        return
    if mixer.sinks and mixer.window is None:
        message = "`sinks` are seen beside a `window`, and there is none"
        yield Violation("LM0309", message, ("mixer.sinks",), "set mixer.window, or drop `sinks`")
    if spec.width % mixer.heads and mixer.head_dim is None:
        message = f"{mixer.heads} heads do not divide width {spec.width}"
        yield Violation("LM0401", message, ("mixer.heads", "width"), "choose heads that divide the width")
    elif mixer.kv_heads == 0 or mixer.heads % mixer.kv_heads:
        message = f"{mixer.kv_heads} kv heads do not divide {mixer.heads} heads"
        yield Violation("LM0403", message, ("mixer.kv_heads", "mixer.heads"), "choose kv_heads that divide heads")
    elif isinstance(spec.positions, Rope) and mixer.head_size(spec.width) % 2:
        if mixer.head_dim is None:
            message = f"rope needs an even head size; {spec.width} channels over {mixer.heads} heads give "
            yield Violation("LM0405", message + str(spec.width // mixer.heads), ("mixer.heads", "width"))
        else:
            yield Violation("LM0405", f"rope needs an even head size, not {mixer.head_dim}", ("mixer.head_dim",))
    if isinstance(spec.positions, Rope):
        yield from _rope(spec.positions)


def _rope(rope: Rope) -> Iterator[Violation]:
    scaling = rope.scaling
    if isinstance(scaling, Llama3Scaling | YarnScaling) and scaling.low >= scaling.high:
        paths = ("positions.scaling.low", "positions.scaling.high")
        message = f"`low` is {scaling.low:g} and `high` is {scaling.high:g}; `high` must be more"
        yield Violation("LM0303", message, paths, "Llama 3 has low = 1, high = 4; YaRN 1 and 32")
    if isinstance(scaling, YarnScaling) and scaling.ramp == "index" and rope.theta <= 1:
        message = f"`theta` is {rope.theta:g}; frequencies must fall for a ramp over their numbers"
        yield Violation("LM0303", message, ("positions.theta", "positions.scaling.ramp"), "set theta = 10k")


def _vocabulary(spec: Transformer | Residual, lookup: Lookup) -> Iterator[Violation]:
    if spec.tokenizer is None:
        if spec.vocab is None:
            yield Violation("LM0209", "a model without a tokenizer needs `vocab`", ("vocab",), "set `vocab`")
        return
    message = missing_ids(spec.vocab, lookup(spec.tokenizer).vocab)
    if message:
        yield Violation("LM0406", message, ("vocab", "tokenizer"), "drop `vocab` to have it derived")


def _weights(spec: Transformer) -> Iterator[Violation]:
    weights = spec.weights
    if isinstance(weights, HfWeights):
        paths = ("weights.folder", "weights.repo")
        if (weights.folder is None) == (weights.repo is None):
            what = "both `folder` and `repo` are set" if weights.repo else "neither `folder` nor `repo` is set"
            yield Violation("LM0309", what, paths, "set exactly one of folder and repo")
        elif weights.folder is not None and weights.revision is not None:
            message = "`revision` is of a `repo`; a folder has none"
            yield Violation("LM0309", message, ("weights.revision",), "drop `revision`")
        if isinstance(spec.init, InitMuP):
            message = "`mup` multiplies scores and logits, for which published weights were not trained"
            yield Violation("LM0407", message, ("init.base", *paths), "drop `weights`, or choose another `init`")


def missing_ids(vocab: int | None, needed: int | None) -> str:
    """Return what is wrong with a model of `vocab` ids under a tokenizer of `needed`; "" if nothing or unknown."""
    if vocab is None or needed is None or vocab >= needed:
        return ""
    return f"the tokenizer has {needed:,} ids; the model has {vocab:,}"


def _tokenizer(spec: ByteTokenizer | TiktokenTokenizer | BpeTokenizer | HfTokenizer) -> Iterator[Violation]:
    twice = next((s for i, s in enumerate(spec.specials) if s in spec.specials[:i]), None)
    if twice is not None or "" in spec.specials:
        message = "a special token needs a spelling" if twice is None else f"`{twice}` is declared twice"
        yield Violation("LM0303", message, ("specials",), "drop it")
    if isinstance(spec, TiktokenTokenizer | HfTokenizer):
        yield from _one_source(spec)
    pattern: Pattern | None = getattr(spec, "pattern", None)
    if pattern is not None and not pattern.regex and pattern.text not in SPLITS:
        listed = ", ".join(f'"{name}"' for name in SPLITS)
        yield Violation("LM0304", f'`pattern` is one of {listed}, or re"..."', ("pattern",), 'write re"..."')


def _one_source(spec: TiktokenTokenizer | HfTokenizer) -> Iterator[Violation]:
    published = "encoding" if isinstance(spec, TiktokenTokenizer) else "repo"
    paths = ("file", published)
    if (spec.file is None) == (getattr(spec, published) is None):
        what = f"both `file` and `{published}` are set" if spec.file else f"neither `file` nor `{published}` is set"
        yield Violation("LM0309", what, paths, f"set exactly one of file and {published}")
    elif isinstance(spec, TiktokenTokenizer) and spec.encoding is not None and spec.pattern is not None:
        yield Violation("LM0309", "`pattern` is for a `file`; an encoding has its own", ("pattern",), "drop `pattern`")
    elif isinstance(spec, HfTokenizer) and spec.file is not None and spec.revision is not None:
        yield Violation("LM0309", "`revision` is of a `repo`; a file has none", ("revision",), "drop `revision`")


def _text(spec: Text, lookup: Lookup) -> Iterator[Violation]:
    total = spec.split.train + spec.split.valid
    if total > 1 + 1e-9:
        paths = ("split.train", "split.valid")
        yield Violation("LM0303", f"the shares of `split` sum to {total:g}", paths, "at most 1")
    specials = lookup(spec.tokenizer).specials
    if spec.document_end is None and several(spec.source):
        help = 'set document_end = "<|eod|>" or another special token, or "" for nothing between documents'
        yield Violation("LM0209", "a source of several documents needs `document_end`", ("source",), help)
    elif spec.document_end and spec.document_end not in specials:
        message = f"`{spec.document_end}` is no special token of the tokenizer"
        help = f"declared are {', '.join(specials) or 'none'}"
        yield Violation("LM0609", message, ("document_end", "tokenizer:specials"), help)
    source = spec.source
    if isinstance(source, Url) and not SHA256.fullmatch(source.sha256):
        message = f"`{source.sha256}` is no SHA-256"
        yield Violation("LM0303", message, ("source.sha256",), "write the 64 hex digits that `sha256sum` prints")
    elif isinstance(source, HfDataset) and (source.folder is None) == (source.repo is None):
        what = "both `folder` and `repo` are set" if source.repo else "neither `folder` nor `repo` is set"
        yield Violation("LM0309", what, ("source.folder", "source.repo"), "set exactly one of folder and repo")
    elif isinstance(source, HfDataset) and source.folder is not None and source.revision is not None:
        message = "`revision` is of a `repo`; a folder has none"
        yield Violation("LM0309", message, ("source.revision",), "drop `revision`")


def _mixture(spec: Mixture, lookup: Lookup) -> Iterator[Violation]:
    parts = sorted(spec.parts.items())
    if not parts:
        yield Violation("LM0209", "a mixture without parts", ("parts",), "write part NAME { data = ..., weight = 1 }")
        return
    for name, part in parts:
        data = lookup(part.data)
        if data.tokenizer != spec.tokenizer:
            message = f"the mixture and its part `{name}` have different tokenizers"
            yield Violation("LM0406", message, (f"{name}.data", "tokenizer"), "use one")
        elif data.seq_len > spec.seq_len:
            message = f"examples of part `{name}` have up to {data.seq_len} tokens, those of the mixture {spec.seq_len}"
            yield Violation("LM0303", message, ("seq_len", f"{name}.data"), f"set seq_len = {data.seq_len}")
    moving = [name for name, part in parts if part.weight_end is not None]
    if (spec.over is None) != (not moving):
        what = "`over` is set and no part has `weight_end`" if spec.over else "`weight_end` needs `over`"
        path = "over" if spec.over else f"{moving[0]}.weight_end"
        yield Violation("LM0309", what, (path,), "set both: over = steps * batch in the training, or a number")
    for when, total in (
        ("start", sum(p.weight for _, p in parts)),
        ("end", sum(p.weight if p.weight_end is None else p.weight_end for _, p in parts)),
    ):
        if total <= 0:
            yield Violation("LM0303", f"the weights at the {when} sum to 0", (f"{parts[0][0]}.weight",), "raise one")
            return


def _protocol(spec: SqlProtocol | PythonProtocol | SearchProtocol, lookup: Lookup) -> Iterator[Violation]:
    if isinstance(spec, PythonProtocol):
        if not FUNCTION.fullmatch(spec.function):
            yield Violation(
                "LM0303", f"`{spec.function}` names no function", ("function",), "write package.module:name"
            )
    elif isinstance(spec, SearchProtocol):
        store, _, name = spec.table.partition("/")
        table = lookup(store).tables[name]
        known = (table.key, *table.columns)
        missing = [column for column in spec.columns or () if column not in known]
        if missing or spec.columns == ():
            message = f"`{name}` has no column `{missing[0]}`" if missing else "`columns` is empty"
            yield Violation("LM0303", message, ("columns",), f"columns are {', '.join(known)}")
    else:
        whole = [capture for capture, allowed in spec.allow.items() if allowed == READ_ONLY]
        if whole and spec.query.strip() != f"{{{whole[0]}}}":
            message = f"`{whole[0]}` is a whole statement, but the query is more than that"
            yield Violation("LM0303", message, ("query",), f'write query = "{{{whole[0]}}}", or list what it may be')


def _train(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    model, data = lookup(spec.model), lookup(spec.data)
    if isinstance(data, Text | Dialogues | Mixture):
        if model.tokenizer is not None and model.tokenizer != data.tokenizer:
            yield Violation("LM0406", "the model and the data have different tokenizers", ("model", "data"), "use one")
        elif message := missing_ids(model.vocab, lookup(data.tokenizer).vocab):
            yield Violation("LM0406", message, ("model", "data"), "set the model's tokenizer")
    if message := _too_long(model, data):
        help = f"set positions.length = {data.seq_len}, or lower seq_len"
        yield Violation("LM0303", message, ("model:positions.length", "data:seq_len"), help)
    yield from reading_violations(model, data)
    yield from late_violations(spec, lookup)
    yield from _stages(spec, lookup)
    yield from _start(spec, model, lookup)
    if spec.mesh is not None and isinstance(model.mixer, Attention):
        mesh = lookup(spec.mesh)
        if model.mixer.heads % mesh.tp or model.mixer.kv_heads % mesh.tp:
            message = f"{model.mixer.heads} heads cannot be split over tp = {mesh.tp}"
            help = "tp must divide heads and kv_heads"
            yield Violation("LM0402", message, ("mesh:tp", "model:mixer.heads", "model:mixer.kv_heads"), help)
    if spec.compile:
        yield from compile_violations(spec, model)
    if spec.micro_batch is not None and spec.micro_batch > spec.batch:
        message = f"micro_batch {spec.micro_batch} is larger than batch {spec.batch}"
        yield Violation("LM0303", message, ("micro_batch", "batch"), "lower micro_batch")


def _stages(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    for stage in spec.stages:
        yield from stage_violations(spec, stage, lookup)
        if message := _too_long(lookup(stage.model), lookup(stage.data)):
            paths = (f"{stage.name}.data:seq_len", "model:positions.length")
            yield Violation("LM0303", message, paths, "lower the stage's seq_len, or learn more positions")
        if stage.schedule is not None:
            yield from (violation.within(stage.name) for violation in rate_violations(spec.amended(stage)))
        elif stage.lr != spec.optim.lr:
            yield from rate_violations(evolve(spec, optim=evolve(spec.optim, lr=stage.lr)))
        sized = evolve(spec, batch=stage.batch, data=stage.data)
        yield from (violation.within(stage.name) for violation in size_violations(sized, lookup))


def _start(spec: Train, model: Transformer, lookup: Lookup) -> Iterator[Violation]:
    if spec.init is None:
        return
    other = lookup(spec.init.run)
    if spec.init.step is not None and other.steps is not None and not other.keeps(spec.init.step):
        message = f"the run keeps no checkpoint of step {spec.init.step:,}"
        help = f"its last is {other.steps:,}; `every.checkpoint` says which others stay"
        yield Violation("LM0408", message, ("init.step",), help)
    theirs = lookup(other.model)
    parts = ("tokenizer", "layers", "width", "vocab", "mlp", "norm", "tied")
    differing = [name for name in parts if getattr(model, name) != getattr(theirs, name)]
    differing += ["mixer"] * (_weights_of(model.mixer) != _weights_of(theirs.mixer))
    differing += ["positions"] * ((model.longest is None) != (theirs.longest is None))
    scaled = [init if isinstance(init, InitMuP) else None for init in (model.init, theirs.init)]
    if differing := differing + ["init"] * (scaled[0] != scaled[1]):
        message = f"the model differs from that of the run it starts from in {', '.join(differing)}"
        yield Violation("LM0408", message, ("init.run", "model"), "start from a run of a model of this shape")
    if spec.init.optimizer and not differing and model.longest != theirs.longest:
        message = f"moments of {theirs.longest:,} positions do not fit {model.longest:,}"
        yield Violation("LM0408", message, ("init.optimizer",), "leave `optimizer` out")
    if spec.init.optimizer and type(spec.optim) is not type(other.optim):
        message = "the run it starts from has another kind of optimiser"
        yield Violation("LM0408", message, ("init.optimizer",), "leave `optimizer` out")


def _too_long(model: Transformer, data: Any) -> str:
    """Return what is wrong with texts of a data set for a model that has learned its positions; "" if nothing."""
    if model.longest is None or data.seq_len <= model.longest:
        return ""
    return f"texts of the data have up to {data.seq_len:,} tokens; the model has learned {model.longest:,} positions"


def _loss(spec: LossEval, lookup: Lookup) -> Iterator[Violation]:
    message = "" if spec.data is None else _too_long(lookup(lookup(spec.run).model), lookup(spec.data))
    if message:
        yield Violation("LM0303", message, ("data",), "evaluate shorter texts, or let the model learn more positions")


def _weights_of(mixer: Mixer) -> Mixer:
    """Return a mixer without what its weights do not depend on."""
    return evolve(mixer, window=None, sinks=0, dropout=0.0) if isinstance(mixer, Attention) else mixer
