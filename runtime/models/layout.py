"""How documents lie in a batch of rows: data that each layer lowers itself.

A slot holds a token or is padding (document -1). A query slot may see the slots of its own document that are not
after it; slots of other documents and padding never.

A chunk continues the rows of a cache: `chunk` has a row of slots for each of them, `packed_chunk` one row in which
the new tokens of all lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from ..placement import Placement
from .masks import Causal, Document, Mask


@frozen(eq=False)
class Spread:
    """How the documents of a packed row become rows of their own, and back, for what mixes positions.

    Attributes:
        slots: int64[n, W], where the slots of each document lie in the packed row; padded with any slot.
        places: int64[N], where each slot of the packed row lies among n * W.
        live: length of the longest cache row once the new tokens are there. fresh: whether all rows were empty.
    """

    slots: Tensor
    places: Tensor
    live: int
    fresh: bool

    def rows(self, x: Tensor) -> Tensor:
        """Return [n, W, ...] of [1, N, ...]."""
        return x[0].index_select(0, self.slots.flatten()).view(*self.slots.shape, *x.shape[2:])

    def packed(self, x: Tensor) -> Tensor:
        """Return [1, N, ...] of [n, W, ...]."""
        return x.flatten(0, 1).index_select(0, self.places)[None]


@frozen(eq=False)
class SequenceLayout:
    """Where each slot of int64[B, T] tokens belongs.

    Attributes:
        documents: int32[B, T], number of the slot's document in its row, -1 for padding.
        positions: int64[B, T], position of the slot in its document; counts from the cache's length in a chunk.
        lengths: int64[B], used slots per row; they come first. Of a packed chunk int64[n], new tokens per cache row.
        packed: whether any row holds more than one document, so that causality alone is not mask enough.
        spread: of a packed chunk, how it becomes rows.
        mask: what a slot sees where that is not the default, such as `Prefix(lengths) & Document(documents)`; for
            passes without a cache.
    """

    documents: Tensor
    positions: Tensor
    lengths: Tensor
    packed: bool
    spread: Spread | None = None
    mask: Mask | None = None

    @staticmethod
    def rows(lengths: Sequence[int], width: int | None = None) -> SequenceLayout:
        """Return one document per row, padded on the right to `width` (default: the longest)."""
        return SequenceLayout.pack([[length] for length in lengths], width)

    @staticmethod
    def pack(documents: Sequence[Sequence[int]], width: int | None = None) -> SequenceLayout:
        """Return documents side by side; `documents[b]` lists lengths in row b. Raises ValueError if too long."""
        used = [sum(row) for row in documents]
        width = max(used) if width is None else width
        if max(used) > width:
            raise ValueError(f"a row of {max(used)} slots does not fit a width of {width}")
        ids = torch.full((len(documents), width), -1, dtype=torch.int32)
        positions = torch.zeros((len(documents), width), dtype=torch.int64)
        for b, row in enumerate(documents):
            at = 0
            for number, length in enumerate(row):
                ids[b, at : at + length] = number
                positions[b, at : at + length] = torch.arange(length)
                at += length
        return SequenceLayout(ids, positions, torch.tensor(used), any(len(row) > 1 for row in documents))

    @staticmethod
    def chunk(lengths: Tensor, past: Tensor, width: int) -> SequenceLayout:
        """Return the layout of new tokens that continue rows already `past` long: int64[B] each."""
        slots = torch.arange(width, device=lengths.device)
        used = slots < lengths[:, None]
        documents = torch.where(used, 0, -1).to(torch.int32)
        return SequenceLayout(documents, past[:, None] + slots, lengths, packed=False)

    @staticmethod
    def packed_chunk(counts: Sequence[int], past: Sequence[int], device: torch.device) -> SequenceLayout:
        """Return the layout of int64[1, N] new tokens that continue n rows, `past` long each, by `counts` each."""
        width = max(counts)
        lengths = torch.tensor(counts, device=device)
        number = torch.repeat_interleave(torch.arange(len(counts), device=device), lengths, output_size=sum(counts))
        first = lengths.cumsum(0) - lengths
        offset = torch.arange(len(number), device=device) - first[number]
        slots = (first[:, None] + torch.arange(width, device=device)).clamp_(max=len(number) - 1)
        live = max(p + c for p, c in zip(past, counts, strict=True))
        spread = Spread(slots, number * width + offset, live, not any(past))
        positions = torch.tensor(past, device=device)[number] + offset
        return SequenceLayout(number.to(torch.int32)[None], positions[None], lengths, packed=True, spread=spread)

    def to(self, placement: Placement) -> SequenceLayout:
        """Return the layout on the placement's device."""
        device = placement.device
        return SequenceLayout(
            self.documents.to(device), self.positions.to(device), self.lengths.to(device), self.packed, mask=self.mask
        )

    @property
    def visible(self) -> Mask:
        """What a slot sees: by default the slots of its document that are not after it."""
        if self.mask is not None:
            return self.mask
        return Causal() & Document(self.documents) if self.packed else Causal()
