"""Probes: numbers recorded at named sites of a model while it trains."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge

from .schema import option, variant
from .units import Steps

Statistic = Literal["mean", "rms", "absmax"]


@variant("probe", "activations")
@frozen(kw_only=True)
class ActivationsProbe:
    """Statistics of what passes through sites in the forward pass."""

    run: str = option("The training.", ref="train")
    at: tuple[str, ...] = option("Sites by pattern: `embed`, `blocks.*.mixer.out`, `head`.", many=True)
    reduce: tuple[Statistic, ...] = option("Statistics.", default=("mean", "rms", "absmax"), many=True)
    every: Steps = option("Steps between recordings.", default=Steps(100), validator=ge(1))


@variant("probe", "gradients")
@frozen(kw_only=True)
class GradientsProbe:
    """Statistics of the gradient of the loss with respect to sites, in the backward pass."""

    run: str = option("The training.", ref="train")
    at: tuple[str, ...] = option("Sites by pattern: `embed`, `blocks.*.mixer.out`, `head`.", many=True)
    reduce: tuple[Statistic, ...] = option("Statistics.", default=("mean", "rms", "absmax"), many=True)
    every: Steps = option("Steps between recordings.", default=Steps(100), validator=ge(1))
