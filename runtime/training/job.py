"""What a training needs, what accumulates over its steps, and where its files lie."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import Factory, define, frozen

from ...spec.model import Transformer
from ...spec.records import Execution, TrainRecord
from ...spec.train import Train
from ..data.dataset import Dataset
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..tracking.tracker import Tracker, untracked
from .observer import Observer

RECORDS = "records.jsonl"
PROFILE = "profile.jsonl"
"""Where time went, one line per instrumented step."""
SEAMS = "seams.jsonl"
"""Where a resumed training was not the same machine: step and what changed."""
CHECKPOINTS = "checkpoints"
EMA = "ema"
"""The part of a checkpoint that holds the running mean of the weights."""


class Interrupted(Exception):
    """The training stopped because it was asked to, or at a limit of time; its checkpoint is kept.

    `limit` says which, as a file writes it, and is "" if it was asked to.
    """

    def __init__(self, step: int, limit: str = "") -> None:
        super().__init__(f"stopped at step {step}")
        self.step, self.limit = step, limit


@frozen
class Origin:
    """A kept checkpoint of another training that a training begins with.

    Attributes:
        folder: of the other training. step: of its checkpoint.
        optimizer: whether the state of its optimiser is taken over, and with it the weights themselves where it keeps
            a running mean of them.
        longest: positions that its model has learned; None where it has no table of them.
    """

    folder: Path
    step: int
    optimizer: bool = False
    longest: int | None = None


@frozen(kw_only=True)
class TrainJob:
    """What a training needs.

    Attributes:
        folder: where records and checkpoints go; a job with the same folder resumes.
        staged: of each stage of the spec, its data and its architecture.
        seq_lens: most tokens of an example, of each stage, or of the training without stages.
        execution: the record of an earlier start, or None at the first; `keep` receives the resolved one.
        origin: what it begins with instead of drawn weights.
        start: given the model of drawn weights before the first step, but not where the training resumes.
        began: when this process began to work on the run, by time.monotonic.
        stop: asked after every step. report: receives records. warn: receives sentences.
        ends: whether the training ends after a step, asked once observers have looked.
        score: value of the metric that `keep.best` names after a step, smaller being better; None where it was not
            evaluated.
        track: given the step that it begins behind, returns what shows it elsewhere.
    """

    spec: Train
    model: Transformer
    dataset: Dataset
    placement: Placement
    folder: Path
    staged: Sequence[tuple[Dataset, Transformer]] = ()
    seq_lens: Sequence[int] = (0,)
    observers: Sequence[Observer] = ()
    execution: Execution | None = None
    origin: Origin | None = None
    keep: Callable[[Execution], None] = lambda execution: None
    began: float = Factory(time.monotonic)
    start: Callable[[TransformerModel], None] = lambda model: None
    stop: Callable[[], bool] = lambda: False
    report: Callable[[TrainRecord], None] = lambda record: None
    warn: Callable[[str], None] = lambda text: None
    ends: Callable[[int], bool] = lambda step: False
    score: Callable[[int], float | None] = lambda step: None
    track: Callable[[int], Tracker] = untracked


@define
class Progress:
    """What accumulates over steps and goes into checkpoints.

    Attributes:
        step: optimiser steps done. tokens, loss_tokens: those that predicted the next one, and trained, since step 0.
        loss: of the last step whose loss was finite, nats; NaN before the first.
        norm: gradient norm of the last finite step; NaN before the first.
        skipped: steps whose update was left out because loss or gradient was not finite. in_a_row: of them, the last
            ones without a finite step between them.
        best_step, best: where the metric of `keep.best` was smallest, and its value; 0 and None before.
    """

    step: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    loss: float = math.nan
    skipped: int = 0
    best_step: int = 0
    best: float | None = None
    norm: float = math.nan
    in_a_row: int = 0

    @property
    def updates(self) -> int:
        """Steps that updated the weights, as far as their losses have been read."""
        return self.step - self.skipped
