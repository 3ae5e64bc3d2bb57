"""What a run writes: records as JSON lines, scores, and the execution record."""

from __future__ import annotations

from attrs import Factory, fields, frozen

from .shown import Shown


@frozen(kw_only=True, repr=False)
class TrainRecord(Shown):
    """One line of `records.jsonl` of a training.

    Attributes:
        step: optimiser steps done.
        loss: mean cross entropy of the step's trained positions, nats.
        lr: learning rate of the step. grad_norm: norm of the gradient before clipping.
        tokens: those that predicted the next one, since step 0; of a text `seq_len` an example.
        loss_tokens: trained positions since step 0.
        seconds: wall time since this process began the training. tokens_per_second: since the last record.
        mfu: share of the machine's measured matmul rate since the last record, from 0 to 1; None where unknown.
        memory: most bytes that the process has held, on the device if that is a GPU.
        skipped: steps since step 0 whose update was left out because loss or gradient was not finite. `loss` and
            `grad_norm` are then those of the last finite step.
    """

    step: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    loss_tokens: int
    seconds: float
    tokens_per_second: float
    mfu: float | None = None
    memory: int = 0
    skipped: int = 0


RECORDED = tuple(a.name for a in fields(TrainRecord) if a.name != "loss")
"""Columns of the records that plots name as they are; `loss` is `loss.train` there."""


@frozen(kw_only=True, repr=False)
class ProfileRecord(Shown):
    """One line of `profile.jsonl` of a training: where the time of a step went.

    Attributes:
        step: the timed step. steps: how many steps the means are taken over, those since the last line.
        data, forward, backward, optimizer: seconds of the timed step alone.
        checkpoint, observers: seconds per step, means. seconds: of a step in all, mean.
        memory: most bytes that the process has held, on the device if that is a GPU.
    """

    step: int
    steps: int
    data: float
    forward: float
    backward: float
    optimizer: float
    checkpoint: float
    observers: float
    seconds: float
    memory: int


@frozen(kw_only=True, repr=False)
class Scores(Shown):
    """Metrics of one evaluation at one step; one line of `scores.jsonl`."""

    name: str
    step: int
    metrics: dict[str, float]


@frozen(kw_only=True, repr=False)
class Recording(Shown):
    """One line of `recordings.jsonl` of a probe: statistics of one site at one step."""

    step: int
    module: str
    stats: dict[str, float]


@frozen(kw_only=True, repr=False)
class Execution(Shown):
    """Choices that change bits but not meaning; resolved once at the first start and restored on resume.

    Attributes:
        micro_batch: examples per forward pass; 0: chosen by length. staged: the same of each stage, if any.
    """

    device: str
    micro_batch: int
    row_layout: str
    threads: int
    attention: str
    compile: bool
    flush_denormals: bool
    versions: dict[str, str] = Factory(dict)
    staged: tuple[int, ...] = ()
