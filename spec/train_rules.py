"""Cross-checks of a training: with its model, its data, its stages, and the run that it starts from."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from .compile_rules import compile_violations
from .data import Dialogues, Mixture, Text
from .init import InitMuP
from .model import Attention, Mixer, Transformer
from .model_rules import missing_ids, too_long
from .recall_rules import reading_violations
from .schedule_rules import rate_violations, size_violations
from .stage_rules import stage_violations
from .train import Train
from .violation import Lookup, Violation


def train_violations(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a training breaks."""
    model, data = lookup(spec.model), lookup(spec.data)
    if isinstance(data, Text | Dialogues | Mixture):
        if model.tokenizer is not None and model.tokenizer != data.tokenizer:
            yield Violation("LM0406", "the model and the data have different tokenizers", ("model", "data"), "use one")
        elif message := missing_ids(model.vocab, lookup(data.tokenizer).vocab):
            yield Violation("LM0406", message, ("model", "data"), "set the model's tokenizer")
    if message := too_long(model, data):
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


def late_violations(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a train breaks and that need its number of steps, once that is known."""
    yield from rate_violations(spec)
    yield from size_violations(spec, lookup)


def _stages(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    for stage in spec.stages:
        yield from stage_violations(spec, stage, lookup)
        if message := too_long(lookup(stage.model), lookup(stage.data)):
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
        yield Violation("LM0408", message, ("init.step",), f"name another step: {other.kept_steps()}")
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


def _weights_of(mixer: Mixer) -> Mixer:
    """Return a mixer without what its weights do not depend on."""
    return evolve(mixer, window=None, sinks=0, dropout=0.0) if isinstance(mixer, Attention) else mixer
