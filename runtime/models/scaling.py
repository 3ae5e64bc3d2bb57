"""Scaling of rotary frequencies, so that a model reads contexts longer than it was trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...spec.model import LinearScaling, Llama3Scaling
from ..registry import builds


@builds(LinearScaling)
def linear(spec: LinearScaling, frequencies: Tensor) -> Tensor:
    """Return frequencies float64[E / 2], radians per position, divided by the factor (Chen et al. 2023)."""
    return frequencies / spec.factor


@builds(Llama3Scaling)
def llama3(spec: Llama3Scaling, frequencies: Tensor) -> Tensor:
    """Return frequencies float64[E / 2], radians per position, the low ones divided by the factor (Llama 3.1)."""
    turns = spec.original * frequencies / (2 * math.pi)
    kept = torch.clamp((turns - spec.low) / (spec.high - spec.low), 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / spec.factor)
