"""Stages: stretches of a training, each the train with edits of its own."""

from __future__ import annotations

from attrs import frozen

from .schedule import Schedule
from .schema import option, variant
from .units import Steps


@variant("stage")
@frozen(kw_only=True, repr=False)
class Stage:
    """What a training is over some of its steps.

    The compiler fills it from the train with the stage's statements on top; what a stage may set is in
    `compiler/resolve/stages.py`.
    """

    name: str = option("What the file calls it.", hidden=True, identity=False)
    steps: Steps = option("Optimiser steps.", hidden=True)
    tokens: int | None = option("Tokens trained on; none: only the run counts them.", hidden=True, identity=False)
    batch: int = option("Examples per optimiser step.", hidden=True)
    micro_batch: int | None = option(
        "Examples per forward pass; none: chosen by length.", hidden=True, default=None, identity=False
    )
    data: str = option("What it is trained on.", ref="data", hidden=True)
    block: int = option(
        "Which block `data` is: 0 the train's own, others count up as they come. Stages of one block go on in it.",
        hidden=True,
        default=0,
    )
    model: str = option("What is trained: the train's model with the stage's positions.", ref="model", hidden=True)
    lr: float = option("Peak of the learning rate.", hidden=True)
    schedule: Schedule | None = option(
        "Learning rate over the steps of the stage; none: the train's, over all steps.", hidden=True, default=None
    )
