"""What is fastest here, the micro-batch and whether to compile: measured once per machine and shape.

Measurements are kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import evolve, frozen

from ...spec.canonical import canonical_json
from ...spec.codec import unstructure
from ...spec.records import Execution
from ..data.batch import Batch
from ..models.build import replace_positions
from ..models.transformer import TransformerModel
from .compiled import compiled_loss
from .job import Interrupted, TrainJob
from .limits import time_left, wall_reached
from .loss import Arithmetic
from .machine import describe, now, remembered
from .memory import forget_peak, peak_memory
from .precision import computing, dtypes
from .stages import stages_of
from .step import step_batches

SECONDS = 2.0
"""Time of all measurements together."""
WORTH = 30.0
"""Seconds of a run below which nothing is measured."""
COMPILING = 60.0
"""Seconds that compiling takes at most, which a run must save."""
WORTH_COMPILING = 10 * COMPILING
"""Seconds of a run below which compiling is not tried."""
FEWEST_STEPS = 100
"""Steps of a run below which not even one is timed."""
GAIN = 1.05
"""How much faster a micro-batch must be than those chosen by length."""


class OutOfTime(Exception):
    """`limits.wall` was reached while alternatives were measured: none of them is taken, and none remembered."""


@frozen
class Choice:
    """What was measured.

    Attributes:
        micro_batch: examples per forward pass; 0: chosen by length. gain: rate over that of micro-batches by length.
        seconds: of a step by length.
    """

    micro_batch: int
    gain: float
    seconds: float


def tuned(job: TrainJob, model: TransformerModel) -> int:
    """Return the examples per forward pass of a training that starts here; 0: chosen by length.

    Gradients are computed and dropped: the model is as before. Nothing is measured where the spec says it, or the
    run is short. Raises Interrupted as all that measures does, but for a limit of time, which is told.
    """
    if job.spec.micro_batch is not None:
        return int(job.spec.micro_batch)
    if job.spec.num_steps() < FEWEST_STEPS:
        return 0
    by_length = step_batches(job.dataset, job.spec, 0, None)
    try:
        key = _key(job, by_length, "micro-batch")
        found = remembered(key, lambda: _measure(job, model, by_length), lambda value: Choice(**value))
    except OutOfTime as limit:
        job.warn(f"{limit} is reached before micro-batches are measured; they are chosen by length")
        return 0
    if found.micro_batch == 0 or found.seconds * job.spec.num_steps() < WORTH:
        return 0
    percent = 100 * (found.gain - 1)
    job.warn(f"micro-batches of {found.micro_batch} examples: {percent:.0f} % faster on this machine than by length")
    return found.micro_batch


def tuned_stages(job: TrainJob, model: TransformerModel, here: Execution) -> Execution:
    """Return the execution record of a training that starts here, with the micro-batches of all its stages."""
    sizes = []
    for stage in stages_of(job):
        replace_positions(model, stage.model)
        sizes.append(tuned(evolve(job, spec=stage.spec, dataset=stage.dataset, model=stage.model, staged=()), model))
    return evolve(here, micro_batch=sizes[0], staged=tuple(sizes) if job.spec.stages else ())


def is_long(job: TrainJob, model: TransformerModel, micro_batch: int) -> bool:
    """Return whether a training that starts here takes so long that compiling may pay, and has the time to try it.

    Raises OutOfTime, or Interrupted where the training is asked to stop.
    """
    steps = job.spec.num_steps()
    if steps < FEWEST_STEPS or _seconds(job, model, micro_batch) * steps < WORTH_COMPILING:
        return False
    if (left := time_left(job.spec.limits, job.began)) < COMPILING:
        job.warn(f"limits.wall leaves {left:.0f} s, too few to try compiling; the run is not compiled")
        return False
    return True


def compiling_pays(job: TrainJob, model: TransformerModel, micro_batch: int, by: Callable[[], Arithmetic]) -> bool:
    """Return whether a training that starts here saves more than it spends if its arithmetic is compiled.

    `by` compiles it, where that was not measured before, and may raise what a compiler raises. Raises as `is_long`.
    """
    batches = step_batches(job.dataset, job.spec, 0, micro_batch or None)

    def gain() -> float:
        compiled = by()
        return _rate(job, model, batches, SECONDS / 4, compiled) / _rate(job, model, batches, SECONDS / 4)

    found = remembered(_key(job, batches, f"gain of compiling {micro_batch}"), gain, float)
    saved = _seconds(job, model, micro_batch) * job.spec.num_steps() * (1 - 1 / found)
    if saved > COMPILING:
        job.warn(f"compiled: {100 * (found - 1):.0f} % faster on this machine than not compiled")
    return saved > COMPILING


def _seconds(job: TrainJob, model: TransformerModel, micro_batch: int) -> float:
    """Return the seconds of a step that is not compiled."""
    batches = step_batches(job.dataset, job.spec, 0, micro_batch or None)

    def seconds() -> float:
        _rate(job, model, batches[-1:], 0.0)
        return sum(int(batch.layout.lengths.sum()) for batch in batches) / _rate(job, model, batches, SECONDS / 8)

    return remembered(_key(job, batches, f"step of {micro_batch}"), seconds, float)


def _key(job: TrainJob, batches: Sequence[Batch], what: str) -> str:
    lengths = torch.cat([batch.layout.lengths for batch in batches]).double()
    shape = [round(float(lengths.max()) / 16), round(float(lengths.mean()) / 16), job.spec.batch]
    if job.spec.limits.memory is not None:
        shape.append(job.spec.limits.memory)
    told = canonical_json([unstructure(job.model), unstructure(job.spec.precision), unstructure(job.spec.remat), shape])
    digest = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    return f"{what} {digest}; {describe(job.placement.device)}"


def _measure(job: TrainJob, model: TransformerModel, by_length: list[Batch]) -> dict[str, Any]:
    allowed = job.spec.limits.memory
    _rate(job, model, by_length[-1:], 0.0)
    rates = {0: _rate(job, model, by_length, SECONDS / 8)}
    tokens = sum(int(batch.layout.lengths.sum()) for batch in by_length)
    seconds = tokens / rates[0]
    if seconds * job.spec.num_steps() >= WORTH:
        sizes = [size for size in (1 << power for power in range(15)) if size < job.spec.batch]
        for size in [*sizes, job.spec.batch][-7:]:
            forget_peak(job.placement.device)
            batches = step_batches(job.dataset, job.spec, 0, size)
            try:
                rates[size] = _rate(job, model, batches, SECONDS / 8)
            except torch.OutOfMemoryError:
                break
            if allowed is not None and peak_memory(job.placement.device) > allowed:
                del rates[size]
                break
    best = max(rates, key=lambda size: rates[size])
    chosen = best if rates[best] >= GAIN * rates[0] else 0
    return {"micro_batch": chosen, "gain": rates[chosen] / rates[0], "seconds": seconds}


def _rate(
    job: TrainJob, model: TransformerModel, batches: Sequence[Batch], seconds: float, by: Arithmetic | None = None
) -> float:
    """Return tokens per second of forward and backward passes, those of middle length first.

    Raises OutOfTime, or Interrupted where the training is asked to stop.
    """
    if job.stop():
        raise Interrupted(0)
    if limit := wall_reached(job.spec.limits, job.began):
        raise OutOfTime(limit)
    device, tokens = job.placement.device, 0
    middle = len(batches) / 2
    began = now(device)
    with computing(model, dtypes(job.spec.precision, job.placement)) as total:
        for _, batch in sorted(enumerate(batches), key=lambda pair: abs(pair[0] - middle)):
            compiled_loss(model, batch.to(job.placement), job.spec.loss, by).backward()  # type: ignore[no-untyped-call]
            total.add()
            tokens += int(batch.layout.lengths.sum())
            if now(device) - began > seconds:
                break
    model.zero_grad(set_to_none=True)
    return tokens / max(1e-9, now(device) - began)
