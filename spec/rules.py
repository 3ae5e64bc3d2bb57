"""Cross-checks: what must hold between the fields of a spec, and between a spec and those that it refers to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from .data import Dialogues, Text
from .mesh import Mesh
from .model import Attention, HfWeights, Llama3Scaling, Rope, Transformer
from .protocol import READ_ONLY, PythonProtocol, SearchProtocol, SqlProtocol
from .tokenizer import SPLITS, BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from .train import Train
from .units import Pattern

FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
Lookup = Callable[[str], Any]
"""Returns the spec behind a node id."""


@frozen
class Violation:
    """A rule that does not hold: the fields that take part, the first being the one to change.

    A path is the dotted name of a field, after `reference:` if it belongs to the spec that this field refers to.
    """

    code: str
    message: str
    paths: tuple[str, ...]
    help: str = ""


def violations(spec: Any, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a spec breaks."""
    if isinstance(spec, Transformer):
        yield from _attention(spec)
        yield from _vocabulary(spec, lookup)
        yield from _weights(spec)
    elif isinstance(spec, ByteTokenizer | TiktokenTokenizer | BpeTokenizer | HfTokenizer):
        yield from _tokenizer(spec)
    elif isinstance(spec, Mesh) and spec.dp * spec.tp != spec.devices:
        product = spec.dp * spec.tp
        message = f"dp x tp is {product} but the mesh has {spec.devices} devices"
        yield Violation("LM0404", message, ("devices",), f"{product} devices, or drop `devices` to have it derived")
    elif isinstance(spec, Text) and spec.split.train + spec.split.valid > 1 + 1e-9:
        total = spec.split.train + spec.split.valid
        yield Violation(
            "LM0303", f"the shares of `split` sum to {total:g}", ("split.train", "split.valid"), "at most 1"
        )
    elif isinstance(spec, SqlProtocol | PythonProtocol | SearchProtocol):
        yield from _protocol(spec, lookup)
    elif isinstance(spec, Train):
        yield from _train(spec, lookup)


def _attention(spec: Transformer) -> Iterator[Violation]:
    mixer = spec.mixer
    if not isinstance(mixer, Attention):
        return
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
    scaling = getattr(spec.positions, "scaling", None)
    if isinstance(scaling, Llama3Scaling) and scaling.low >= scaling.high:
        paths = ("positions.scaling.low", "positions.scaling.high")
        message = f"`low` is {scaling.low:g} and `high` is {scaling.high:g}; `high` must be more"
        yield Violation("LM0303", message, paths, "Llama 3 has low = 1, high = 4")


def _vocabulary(spec: Transformer, lookup: Lookup) -> Iterator[Violation]:
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
    if isinstance(data, Text | Dialogues):
        if model.tokenizer is not None and model.tokenizer != data.tokenizer:
            yield Violation("LM0406", "the model and the data have different tokenizers", ("model", "data"), "use one")
        elif message := missing_ids(model.vocab, lookup(data.tokenizer).vocab):
            yield Violation("LM0406", message, ("model", "data"), "set the model's tokenizer")
    if spec.schedule.warmup > spec.steps:
        message = f"a warm-up of {spec.schedule.warmup:,} steps is longer than the run of {spec.steps:,}"
        yield Violation("LM0303", message, ("schedule.warmup", "steps"), "shorten the warm-up")
    if spec.mesh is not None and isinstance(model.mixer, Attention):
        mesh = lookup(spec.mesh)
        if model.mixer.heads % mesh.tp or model.mixer.kv_heads % mesh.tp:
            message = f"{model.mixer.heads} heads cannot be split over tp = {mesh.tp}"
            help = "tp must divide heads and kv_heads"
            yield Violation("LM0402", message, ("mesh:tp", "model:mixer.heads", "model:mixer.kv_heads"), help)
    if spec.micro_batch is not None and spec.micro_batch > spec.batch:
        message = f"micro_batch {spec.micro_batch} is larger than batch {spec.batch}"
        yield Violation("LM0303", message, ("micro_batch", "batch"), "lower micro_batch")
