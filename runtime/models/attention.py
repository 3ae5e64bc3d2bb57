"""Grouped-query attention with rotary positions (Ainslie et al. 2023; Su et al. 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...spec.model import Attention as AttentionSpec
from ...spec.model import Nope as NopeSpec
from ...spec.model import Rope as RopeSpec
from ...spec.model import YarnScaling as YarnSpec
from ..registry import BUILDERS, builds
from . import scaling as _scaling  # noqa: F401  (registers its builders)
from .attend import attend
from .cache import KVCache
from .context import Context
from .layers import Linear

builds(NopeSpec)(lambda spec, size: None)


@builds(RopeSpec)
class Rope(nn.Module):
    """Rotate half-split pairs (x_i, x_(i + E/2)) by position * theta^(-2i/E), in radians or in turns."""

    frequencies: Tensor

    def __init__(self, spec: RopeSpec, size: int) -> None:
        super().__init__()
        self.spec, self.size = spec, size
        self.register_buffer("frequencies", torch.empty(size // 2, dtype=torch.float64), persistent=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Recompute the frequencies, float64[E / 2]."""
        scale = 2 * math.pi if self.spec.unit == "turns" else 1.0
        exponents = torch.arange(0, self.size, 2, dtype=torch.float64) / self.size
        frequencies = scale * self.spec.theta**-exponents
        if self.spec.scaling is not None:
            frequencies = BUILDERS[type(self.spec.scaling)](self.spec.scaling, frequencies, self.spec.theta)
        self.frequencies = frequencies.to(self.frequencies.device)

    def tables(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosine and sine, float[B, 1, T, E], of int64[B, T] positions; angles are taken in float64.

        Both are multiplied by what scaling multiplies q and k by.
        """
        angles = positions[:, None, :, None].double() * self.frequencies
        if self.spec.unit == "turns":
            angles = angles.remainder(2 * math.pi)
        cos, sin = angles.cos(), angles.sin()
        if isinstance(self.spec.scaling, YarnSpec):
            cos, sin = cos * self.spec.scaling.multiplier, sin * self.spec.scaling.multiplier
        cos, sin = cos.to(dtype), sin.to(dtype)
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate float[B, H, T, E] by cosine and signed sine."""
    cos, sin = tables
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((second, first), dim=-1) * sin


@builds(AttentionSpec)
class Attention(nn.Module):
    """softmax(q k^T / sqrt(E)) v over the slots that the layout lets a query see; q times `query_multiplier`."""

    query_multiplier = 1.0

    def __init__(self, spec: AttentionSpec, width: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = spec.heads, spec.kv_heads, spec.head_size(width)
        inner, bias = self.heads * self.size, spec.bias != "none"
        self.q = Linear(width, inner, bias=bias)
        self.k = Linear(width, spec.kv_heads * self.size, bias=bias)
        self.v = Linear(width, spec.kv_heads * self.size, bias=bias)
        self.o = Linear(inner, width, bias=spec.bias == "all")

    def new_cache(self, rows: int, capacity: int, device: torch.device | None = None) -> KVCache:
        """Return an empty cache on `device` (default: the weights')."""
        weight = self.q.weight
        return KVCache(rows, self.kv_heads, capacity, self.size, device or weight.device, weight.dtype)

    def forward(self, x: Tensor, context: Context, cache: KVCache | None = None) -> Tensor:
        """Mix float[B, T, D] along T; with a cache, keys and values of its rows come first and the new are appended."""
        rows, slots, _ = x.shape
        q = self.q(x).view(rows, slots, -1, self.size).transpose(1, 2)
        if self.query_multiplier != 1:
            q = q * self.query_multiplier
        k = self.k(x).view(rows, slots, -1, self.size).transpose(1, 2)
        v = self.v(x).view(rows, slots, -1, self.size).transpose(1, 2)
        if context.rotation is not None:
            q, k = rotate(q, context.rotation), rotate(k, context.rotation)
        spread = context.layout.spread
        if spread is not None:
            q = spread.rows(q.transpose(1, 2)).transpose(1, 2)
        if cache is not None:
            cache.append(k.transpose(1, 2), v.transpose(1, 2), context.slots)
            if context.live is not None:
                k, v = cache.read(context.live)
        mixed = attend(q, k, v, context.lowered).transpose(1, 2)
        if spread is not None:
            mixed = spread.packed(mixed)
        return self.o(mixed.reshape(rows, slots, -1))  # type: ignore[no-any-return]
