"""Cross-checks: what must hold between the fields of a spec, and between a spec and those that it refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from .data import Dialogues, Text
from .mesh import Mesh
from .model import Attention, Rope, Transformer
from .train import Train

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
        yield from _transformer(spec)
    elif isinstance(spec, Mesh) and spec.dp * spec.tp != spec.devices:
        product = spec.dp * spec.tp
        message = f"dp x tp is {product} but the mesh has {spec.devices} devices"
        yield Violation("LM0404", message, ("devices",), f"{product} devices, or drop `devices` to have it derived")
    elif isinstance(spec, Text) and spec.split.train + spec.split.valid > 1 + 1e-9:
        total = spec.split.train + spec.split.valid
        yield Violation(
            "LM0303", f"the shares of `split` sum to {total:g}", ("split.train", "split.valid"), "at most 1"
        )
    elif isinstance(spec, Train):
        yield from _train(spec, lookup)


def _transformer(spec: Transformer) -> Iterator[Violation]:
    mixer = spec.mixer
    if not isinstance(mixer, Attention):
        return
    if spec.width % mixer.heads:
        message = f"{mixer.heads} heads do not divide width {spec.width}"
        yield Violation("LM0401", message, ("mixer.heads", "width"), "choose heads that divide the width")
    elif mixer.kv_heads == 0 or mixer.heads % mixer.kv_heads:
        message = f"{mixer.kv_heads} kv heads do not divide {mixer.heads} heads"
        yield Violation("LM0403", message, ("mixer.kv_heads", "mixer.heads"), "choose kv_heads that divide heads")
    elif isinstance(spec.positions, Rope) and (spec.width // mixer.heads) % 2:
        message = f"rope needs an even head size; {spec.width} channels over {mixer.heads} heads give "
        yield Violation("LM0405", message + str(spec.width // mixer.heads), ("mixer.heads", "width"))


def _train(spec: Train, lookup: Lookup) -> Iterator[Violation]:
    model, data = lookup(spec.model), lookup(spec.data)
    if isinstance(data, Text | Dialogues) and model.tokenizer is not None and model.tokenizer != data.tokenizer:
        yield Violation("LM0406", "the model and the data have different tokenizers", ("model", "data"), "use one")
    if isinstance(data, Text | Dialogues) and model.tokenizer is None and model.vocab < lookup(data.tokenizer).vocab:
        needed = lookup(data.tokenizer).vocab
        message = f"the data's tokenizer has {needed} ids; the model has {model.vocab}"
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
