"""Schedules: a value over the steps that has a peak: the learning rate `optim.lr`, `batch`, `data.seq_len`.

Steps count optimiser updates from 1; `floor` is in the unit of the peak.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from attrs import Factory, frozen
from attrs.validators import ge, gt

from .schema import allows, option, variant
from .units import Steps


@allows(minItems=1, uniqueItems=True, items={"minimum": 0})
def _rising(instance: Any, attribute: Any, value: tuple[int, ...]) -> None:
    """Rising, from 0 on."""
    if not value or value[0] < 0 or any(b <= a for a, b in pairwise(value)):
        raise ValueError(f"'{attribute.name}' must be a list of rising steps: {value!r}")


@allows(items={"minimum": 0})
def _multipliers(instance: Any, attribute: Any, value: tuple[float, ...]) -> None:
    """Each at least 0."""
    if any(factor < 0 for factor in value):
        raise ValueError(f"'{attribute.name}' must be a list of numbers that are at least 0: {value!r}")


@variant("schedule", "constant")
@frozen(kw_only=True, repr=False)
class Constant:
    """The peak after a linear warm-up."""

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))


@variant("schedule", "cosine")
@frozen(kw_only=True, repr=False)
class Cosine:
    """Linear warm-up to the peak, then half a cosine down to `floor` at the last step."""

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))
    floor: float = option("Value at the end.", default=0.0, validator=ge(0.0))


@variant("schedule", "linear")
@frozen(kw_only=True, repr=False)
class Linear:
    """Linear warm-up to the peak, then a line down to `floor` at the last step."""

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))
    floor: float = option("Value at the end.", default=0.0, validator=ge(0.0))


@variant("schedule", "inverse_sqrt")
@frozen(kw_only=True, repr=False)
class InverseSqrt:
    """Linear warm-up to the peak, then that times (warmup / step)^power, at least `floor` (Vaswani et al. 2017)."""

    warmup: Steps = option("Steps of linear warm-up, and the time scale of the decay.", unit="steps", validator=ge(1))
    power: float = option("Exponent of the decay.", default=0.5, validator=gt(0.0))
    floor: float = option("Smallest value after the warm-up.", default=0.0, validator=ge(0.0))


@variant("schedule", "wsd")
@frozen(kw_only=True, repr=False)
class WarmupStableDecay:
    """Linear warm-up, the peak, and over the last `cooldown` steps down to `floor` (Hu et al. 2024, MiniCPM).

    With x from 0 to 1 over the cooldown and r = floor / peak, the shapes are 1 - (1 - r) x (`"linear"`),
    r + (1 - r) (1 - sqrt(x)) (`"sqrt"`, Hägele et al. 2024, eq. 1), r + (1 - r) (1 + cos(pi x)) / 2 (`"cosine"`)
    and 1 / (x / r + 1 - x) (`"lingua"`), which needs a floor above 0.
    """

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))
    cooldown: Steps = option("Steps of the decay, the last ones.", unit="steps", validator=ge(0))
    shape: Literal["linear", "sqrt", "cosine", "lingua"] = option("Curve of the decay.", default="linear")
    floor: float = option('Value at the end; above 0 for "lingua".', default=0.0, validator=ge(0.0))


@variant("schedule", "table")
@frozen(kw_only=True, repr=False)
class StepTable:
    """The peak times multipliers at listed steps; the first and the last one hold beyond the list."""

    at: tuple[Steps, ...] = option("Rising steps.", unit="steps", validator=_rising)
    factors: tuple[float, ...] = option("Multiplier of the peak at each of them.", validator=_multipliers)
    between: Literal["linear", "constant"] = option(
        "Between two steps: a line, or the multiplier of the earlier one.", default="linear"
    )


@variant("schedule", "product")
@frozen(kw_only=True, repr=False)
class Product:
    """The peak times the multipliers of its parts; that of a part is its value divided by the peak."""

    parts: dict[str, Constant | Cosine | Linear | InverseSqrt | WarmupStableDecay | StepTable] = option(
        "Its parts.", repeat="part", default=Factory(dict)
    )


Part = Constant | Cosine | Linear | InverseSqrt | WarmupStableDecay | StepTable
Schedule = Part | Product
