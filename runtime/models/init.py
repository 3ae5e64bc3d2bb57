"""Initialisation: a pure function of (seed, parameter path, shape), the same on any number of devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

CUT = 3.0
"""Truncation of normal draws, in standard deviations."""


def generator_for(seed: int, path: str) -> torch.Generator:
    """Return a CPU generator for one parameter."""
    digest = hashlib.blake2b(f"{seed}:{path}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def fill(parameter: Tensor, draw: Callable[[Tensor], object]) -> None:
    """Fill a parameter, whatever its place and dtype, with what `draw` writes into a float32 tensor on CPU."""
    values = torch.empty(parameter.shape, dtype=torch.float32)
    draw(values)
    with torch.no_grad():
        parameter.copy_(values)


def draw_normal(parameter: Tensor, std: float, generator: torch.Generator | None) -> None:
    """Fill a parameter with normal draws cut at 3 sigma, drawn in float32 on CPU whatever its own place and dtype.

    `std` is that of the uncut normal, as in torch.nn.init.trunc_normal_.
    """
    normal = torch.nn.init.trunc_normal_
    fill(parameter, lambda values: normal(values, std=std, a=-CUT * std, b=CUT * std, generator=generator))
