"""What the layers of one forward pass share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .attend import lower
from .cache import ModelCache
from .layout import SequenceLayout
from .lowered import Additive, Lowered, Shape
from .reach import Reach

if TYPE_CHECKING:
    from .attention import Rope


class Context:
    """What every mixer of one forward pass shares, computed once.

    Attributes:
        layout: how documents lie in the rows.
        past: int64[B], positions that the cache held before. slots: where it takes the new ones.
        reach: how far attention looks.
        live: positions that attention reads from the cache; None when it reads only the new ones.
        lowered: how attention sees what the layout lets it see.
        rotation: cosine and sine of the positions, or None without rotary positions.
    """

    slots: Tensor
    live: int | None

    def __init__(
        self,
        layout: SequenceLayout,
        rope: Rope | None,
        reach: Reach,
        dtype: torch.dtype,
        cache: ModelCache | None = None,
        live: int | None = None,
    ) -> None:
        """Take what `TransformerModel.hidden` was given."""
        self.layout = layout
        self.past = torch.zeros_like(layout.lengths) if cache is None else cache.lengths
        self.rotation = None if rope is None else rope.tables(layout.positions, dtype)
        self.reach, self.live = reach, None
        if cache is None:
            rows, slots = layout.documents.shape
            shape = Shape(
                rows,
                slots,
                slots,
                dtype,
                layout.documents.device,
                head_size=reach.head_size,
                slopes=reach.slopes,
                positions=None if layout.mask is None else layout.positions,
            )
            self.lowered: Lowered = lower(reach.mask(layout), shape)
        else:
            self.lowered = self._continued(layout, dtype, cache, live)

    def _continued(self, layout: SequenceLayout, dtype: torch.dtype, cache: ModelCache, live: int | None) -> Lowered:
        """Find where the cache takes the new positions, and return how they see what it holds."""
        spread, reach, rows, device = layout.spread, self.reach, len(self.past), self.past.device
        if spread is None:
            self.slots, width = cache.slots(layout.documents >= 0), layout.documents.shape[1]
            fresh = live is None and not bool(self.past.any())
        else:
            self.slots, width = cache.places(layout.documents[0], layout.positions[0]), spread.slots.shape[1]
            fresh, live = spread.fresh, spread.live
        if fresh:
            self.live = None if spread is None else live
            square = Shape(rows, width, width, dtype, device, head_size=reach.head_size, slopes=reach.slopes)
            return lower(reach.rows, square)
        self.live = int((self.past + layout.lengths).max()) if live is None else live
        shape = Shape(rows, width, self.live, dtype, device, self.past, slopes=reach.slopes)
        return Additive.of(reach.rows, shape)
