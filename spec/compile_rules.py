"""What a training may not be for its arithmetic to be compiled."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Attention, Transformer
from .train import Train
from .violation import Violation


def compile_violations(spec: Train, model: Transformer) -> Iterator[Violation]:
    """Yield why a training cannot be compiled."""
    if spec.remat.blocks:
        message = "a step that computes activations again cannot be compiled"
        yield Violation("LM0309", message, ("compile", "remat.blocks"), "drop `compile` or `remat`")
    elif spec.stages:
        yield Violation("LM0309", "a training in stages cannot be compiled yet", ("compile",), "drop `compile`")
    elif not isinstance(model.mixer, Attention):
        message = "only models whose mixer is attention can be compiled: a recurrence would be unrolled"
        yield Violation("LM0309", message, ("compile", "model:mixer"), "drop `compile`")
