"""Position-wise layers: linear maps, normalisation, the gated mlp."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spec.model import Learned as LearnedSpec
from ...spec.model import RMSNorm as RMSNormSpec
from ...spec.model import SwiGLU as SwiGLUSpec
from ..registry import builds
from .init import draw_normal


class Linear(nn.Linear):
    """A linear map, float[..., N] -> float[..., M], that knows how it is drawn."""

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool = False) -> None:
        super().__init__(fan_in, fan_out, bias=bias)
        self.std = fan_in**-0.5

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weight, normal cut at 3 sigma; set the bias to zero."""
        if hasattr(self, "std"):
            draw_normal(self.weight, self.std, generator)
            if self.bias is not None:
                nn.init.zeros_(self.bias)


class Embedding(nn.Embedding):
    """A table float[V, D] looked up by int64 ids."""

    def __init__(self, vocab: int, width: int) -> None:
        self.std = width**-0.5
        super().__init__(vocab, width)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the table, normal cut at 3 sigma."""
        draw_normal(self.weight, self.std, generator)


@builds(LearnedSpec)
def table_of(spec: LearnedSpec, width: int) -> Embedding:
    """Return the table of learned positions, float[length, D]."""
    return Embedding(spec.length, width)


@builds(RMSNormSpec)
class RMSNorm(nn.Module):
    """Divide by the root mean square of the last axis, then scale per channel (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, spec: RMSNormSpec, width: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.gain = nn.Parameter(torch.ones(width))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Set the gain to one."""
        nn.init.ones_(self.gain)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise float[..., D]; the mean is taken in the input's dtype, at least float32."""
        return F.rms_norm(x, (x.shape[-1],), self.gain, self.eps)


@builds(SwiGLUSpec)
class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020, eq. 6)."""

    def __init__(self, spec: SwiGLUSpec, width: int) -> None:
        super().__init__()
        self.gate = Linear(width, spec.hidden, bias=spec.bias)
        self.up = Linear(width, spec.hidden, bias=spec.bias)
        self.down = Linear(spec.hidden, width, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map float[..., D] to float[..., D]."""
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]
