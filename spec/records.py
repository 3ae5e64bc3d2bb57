"""What a run writes: records as JSON lines, scores, and the execution record."""

from __future__ import annotations

from attrs import Factory, frozen


@frozen(kw_only=True)
class TrainRecord:
    """One line of `records.jsonl` of a training.

    Attributes:
        step: optimiser steps done.
        loss: mean cross entropy of the step's trained positions, nats.
        lr: learning rate of the step. grad_norm: norm of the gradient before clipping.
        tokens: tokens seen since step 0, padding excluded. loss_tokens: trained positions since step 0.
        seconds: wall time since this process began the training. tokens_per_second: since the last record.
    """

    step: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    loss_tokens: int
    seconds: float
    tokens_per_second: float


@frozen(kw_only=True)
class Scores:
    """Metrics of one evaluation at one step; one line of `scores.jsonl`."""

    name: str
    step: int
    metrics: dict[str, float]


@frozen(kw_only=True)
class Recording:
    """One line of `recordings.jsonl` of a probe: statistics of one site at one step."""

    step: int
    module: str
    stats: dict[str, float]


@frozen(kw_only=True)
class Execution:
    """Choices that change bits but not meaning; resolved once at the first start and restored on resume."""

    device: str
    micro_batch: int
    row_layout: str
    threads: int
    attention: str
    compile: bool
    flush_denormals: bool
    versions: dict[str, str] = Factory(dict)
