"""Cross-checks of a stage against its train: what carries over must fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from .stage import Stage
from .train import Train
from .violation import Lookup, Violation


def stage_violations(spec: Train, stage: Stage, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a stage breaks, but for those of its schedule."""
    model, staged = lookup(spec.model), lookup(stage.model)
    if _shape(staged, model) != _shape(model, model):
        message = f"stage `{stage.name}` changes more of the model than its positions, or their parameters"
        yield Violation("LM0408", message, (f"{stage.name}.model",), "parameters stay the same over all stages")
    if lookup(stage.data).tokenizer != lookup(spec.data).tokenizer:
        message = f"the data of stage `{stage.name}` and of the train have different tokenizers"
        yield Violation("LM0406", message, (f"{stage.name}.data", "data"), "use one")
    if stage.micro_batch is not None and stage.micro_batch > stage.batch:
        message = f"micro_batch {stage.micro_batch} is larger than batch {stage.batch} of stage `{stage.name}`"
        paths = (f"{stage.name}.batch", f"{stage.name}.micro_batch")
        yield Violation("LM0303", message, paths, "lower the stage's micro_batch")


def _shape(model: Any, train: Any) -> tuple[Any, int]:
    """Return what must be equal: all but the positions, and the number of parameters."""
    return evolve(model, positions=train.positions), evolve(model, vocab=1).num_params()
