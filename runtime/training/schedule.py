"""Learning rates, batches and lengths as pure functions of the step."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from ...spec.schedule import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Product,
    Schedule,
    StepTable,
    WarmupStableDecay,
)
from ..registry import BUILDERS, builds

Ints = npt.NDArray[np.int64]


def value_at(schedule: Schedule, peak: float, step: int, steps: int) -> float:
    """Return the value of a schedule at an update: the warm-up peak * step / warmup, then the schedule.

    Args:
        schedule: what is asked; its floor is in the unit of the peak.
        peak: value after the warm-up.
        step: number of the update, from 1 to `steps`; a warm-up is over at update `warmup`, a decay at the last one.
            Update t has what transformers and torch's `LambdaLR` call step t, which they use for update t + 1.
        steps: updates of the whole training.
    """
    if not isinstance(schedule, StepTable | Product) and step < schedule.warmup:
        return peak * step / float(schedule.warmup)
    return float(BUILDERS[type(schedule)](schedule, peak, step, steps))


@builds(Constant)
def constant(schedule: Constant, peak: float, step: int, steps: int) -> float:
    """Return the peak."""
    return peak


@builds(Cosine)
def cosine(schedule: Cosine, peak: float, step: int, steps: int) -> float:
    """Return floor + (peak - floor) (1 + cos(pi x)) / 2 with x from 0 after the warm-up to 1 at the last step."""
    x = (step - schedule.warmup) / max(1, steps - schedule.warmup)
    return schedule.floor + (peak - schedule.floor) * (1 + math.cos(math.pi * x)) / 2


@builds(Linear)
def linear(schedule: Linear, peak: float, step: int, steps: int) -> float:
    """Return floor + (peak - floor) (1 - x) with x from 0 after the warm-up to 1 at the last step."""
    x = (step - schedule.warmup) / max(1, steps - schedule.warmup)
    return schedule.floor + (peak - schedule.floor) * (1 - x)


@builds(InverseSqrt)
def inverse_sqrt(schedule: InverseSqrt, peak: float, step: int, steps: int) -> float:
    """Return max(floor, peak (warmup / step)^power) (Vaswani et al. 2017, eq. 3)."""
    decayed: float = peak * (schedule.warmup / step) ** schedule.power
    return max(schedule.floor, decayed)


@builds(WarmupStableDecay)
def wsd(schedule: WarmupStableDecay, peak: float, step: int, steps: int) -> float:
    """Return the peak, then the shape of the cooldown with x from 0 at steps - cooldown to 1 at the last step."""
    floor, done = schedule.floor, step - (steps - schedule.cooldown)
    if done <= 0:
        return peak
    x = done / schedule.cooldown
    if schedule.shape == "lingua":
        return peak * floor / (x * peak + (1 - x) * floor)
    left = {"linear": 1 - x, "sqrt": 1 - math.sqrt(x), "cosine": (1 + math.cos(math.pi * x)) / 2}[schedule.shape]
    return floor + (peak - floor) * left


@builds(StepTable)
def table(schedule: StepTable, peak: float, step: int, steps: int) -> float:
    """Return the peak times the multiplier at a step, interpolated between listed ones unless it is constant there."""
    at, factors = schedule.at, schedule.factors
    n = bisect_right(at, step)
    if n in (0, len(at)) or schedule.between == "constant":
        return peak * factors[max(0, n - 1)]
    x = (step - at[n - 1]) / (at[n] - at[n - 1])
    return peak * ((1 - x) * factors[n - 1] + x * factors[n])


@builds(Product)
def product(schedule: Product, peak: float, step: int, steps: int) -> float:
    """Return the peak times the multipliers of the parts."""
    return peak * math.prod(value_at(part, peak, step, steps) / peak for part in schedule.parts.values())


def whole_value(schedule: Schedule, peak: int, least: int, step: int, steps: int) -> int:
    """Return the value of a schedule at an update, rounded; at least `least`, or the peak if that is less."""
    return max(round(value_at(schedule, float(peak), step, steps)), min(least, peak))


def whole_values(schedule: Schedule, peak: int, least: int, updates: range, steps: int) -> Ints:
    """Return int64[N], what `whole_value` gives at each of the updates."""
    values = (value_at(schedule, float(peak), step, steps) for step in updates)
    rounded = np.rint(np.fromiter(values, np.float64, len(updates))).astype(np.int64)
    return np.maximum(rounded, min(least, peak))
