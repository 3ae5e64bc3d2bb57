"""Scaling of rotary frequencies, so that a model reads contexts longer than it was trained on.

Every function returns frequencies float64[E / 2], radians per position, of those without scaling and their base.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...spec.model import LinearScaling, Llama3Scaling, NtkScaling, YarnScaling
from ..registry import builds


@builds(LinearScaling)
def linear(spec: LinearScaling, frequencies: Tensor, theta: float) -> Tensor:
    """Divide all by the factor (Chen et al. 2023)."""
    return frequencies / spec.factor


@builds(Llama3Scaling)
def llama3(spec: Llama3Scaling, frequencies: Tensor, theta: float) -> Tensor:
    """Divide the low ones by the factor (Llama 3.1)."""
    turns = spec.original * frequencies / (2 * math.pi)
    kept = torch.clamp((turns - spec.low) / (spec.high - spec.low), 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / spec.factor)


@builds(NtkScaling)
def ntk(spec: NtkScaling, frequencies: Tensor, theta: float) -> Tensor:
    """Raise the base to theta factor^(E / (E - 2)) (bloc97 2023): the first is kept, the last divided by the factor."""
    numbers = torch.arange(len(frequencies), dtype=torch.float64, device=frequencies.device)
    return frequencies * spec.factor ** -(numbers / max(1, len(frequencies) - 1))


@builds(YarnScaling)
def yarn(spec: YarnScaling, frequencies: Tensor, theta: float) -> Tensor:
    """Divide the low ones by the factor, with a ramp to the high ones, which are kept (Peng et al. 2023, eq. 13)."""
    turns = spec.original * frequencies / (2 * math.pi)
    if spec.ramp == "rotations":
        kept = torch.clamp((turns - spec.low) / (spec.high - spec.low), 0.0, 1.0)
    else:
        # The number of the frequency that turns so often, as a real number, since frequencies fall geometrically.
        first, last = (
            len(frequencies) * math.log(float(turns[0]) / limit) / math.log(theta) for limit in (spec.high, spec.low)
        )
        first, last = max(math.floor(first), 0), min(math.ceil(last), 2 * len(frequencies) - 1)
        numbers = torch.arange(len(frequencies), dtype=torch.float64, device=frequencies.device)
        kept = 1 - torch.clamp((numbers - first) / (last - first or 1e-3), 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / spec.factor)
