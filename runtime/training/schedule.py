"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math
from typing import Any

from ...spec.train import Constant, Cosine
from ..registry import BUILDERS, builds


def learning_rate(schedule: Any, peak: float, step: int, steps: int) -> float:
    """Return the learning rate of 1-based `step` of `steps`: warm-up peak * step / warmup, then the schedule."""
    if step < schedule.warmup:
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
