"""How far attention looks: a window with attention sinks, and scores that fall with distance (ALiBi)."""

from __future__ import annotations

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor, nn

from ...spec.model import Alibi, Transformer
from ...spec.model import Attention as AttentionSpec
from ..registry import builds
from .layout import SequenceLayout
from .masks import Causal, Mask, MaskMod, Memory, Seen, Sliding


@frozen(eq=False)
class Near(Mask):
    """A query sees keys less than `window` positions before it, and the first `sinks` positions, of any document.

    For passes without a cache, where the keys are the query slots.

    Attributes:
        positions: int64[B, T], position of each slot in its document.
        counted: whether every document lies in one piece and its positions count its slots.
    """

    window: int = field(validator=ge(1))
    sinks: int = field(validator=ge(0))
    positions: Tensor
    counted: bool
    seen = Seen.ITSELF

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: position of q - position of kv < window, or position of kv < sinks."""
        at = self.positions
        return lambda b, h, q, kv: (at[b, q] - at[b, kv] < self.window) | (at[b, kv] < self.sinks)

    @property
    def apart(self) -> Mask:
        """The same where every document has a row of its own."""
        return Sliding(self.window) | Memory(self.sinks)


class Reach(nn.Module):
    """What the attention of a model does beside the mask of a layout: its window, its sinks, its slopes.

    Attributes:
        window: positions that a query sees, its own included; None for all. sinks: first positions that all see.
        head_size: E.
        slopes: float64[H], what scores of a head fall by per position; None without ALiBi.
    """

    window: int | None
    slopes: Tensor | None

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        mixer, slopes = spec.mixer, None
        self.window, self.sinks, self.head_size = None, 0, 64
        if isinstance(mixer, AttentionSpec):
            self.window, self.sinks, self.head_size = mixer.window, mixer.sinks, mixer.head_size(spec.width)
            if isinstance(spec.positions, Alibi):
                slopes = slots_for_slopes(spec.positions, mixer.heads)
        self.register_buffer("slopes", slopes, persistent=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Recompute the slopes."""
        if self.slopes is not None:
            self.slopes = torch.tensor(slopes_of(len(self.slopes)), dtype=torch.float64, device=self.slopes.device)

    @property
    def plain(self) -> bool:
        """Whether queries see all that the layout shows, at no cost."""
        return self.window is None and self.slopes is None

    @property
    def rows(self) -> Mask:
        """What a query sees where every document has a row of its own."""
        return Causal() if self.window is None else Causal() & (Sliding(self.window) | Memory(self.sinks))

    def mask(self, layout: SequenceLayout) -> Mask:
        """Return what a slot sees in a pass without a cache."""
        if self.window is None:
            return layout.visible
        default = layout.mask is None
        if default and not (layout.packed and self.sinks):
            return layout.visible & (Sliding(self.window) | Memory(self.sinks))
        return layout.visible & Near(self.window, self.sinks, layout.positions, counted=default)


@builds(Alibi)
def slots_for_slopes(spec: Alibi, heads: int) -> Tensor:
    """Return room for the slopes float64[H], which `Reach.reset_parameters` fills."""
    return torch.empty(heads, dtype=torch.float64)


def slopes_of(heads: int) -> list[float]:
    """Return what scores of each head fall by per position (Press et al. 2022, `get_slopes` of their code).

    2^(-8 i / n) for i = 1 .. n where n is a power of two; else those of the power below, and every other one of the
    power above.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    return slopes if power == heads else slopes + slopes_of(2 * power)[::2][: heads - power]


def fall(slopes: Tensor, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what ALiBi adds to scores, float[B or 1, H, T, S], of positions int64[B or 1, T] and int64[B or 1, S].

    Keys behind a query, which prefixes show, are as far as those before it.
    """
    distance = (queries[:, :, None] - keys[:, None]).abs()[:, None]
    wide = torch.promote_types(dtype, torch.float32)
    return (-slopes.to(wide)[:, None, None] * distance).to(dtype)
