"""How documents lie in a batch of rows: data that each layer lowers itself.

A slot holds a token or is padding (document -1). A query slot may see the slots of its own document that are not
after it; slots of other documents and padding never.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from ..placement import Placement


@frozen(eq=False)
class SequenceLayout:
    """Where each slot of int64[B, T] tokens belongs.

    Attributes:
        documents: int32[B, T], number of the slot's document in its row, -1 for padding.
        positions: int64[B, T], position of the slot in its document; counts from the cache's length in a chunk.
        lengths: int64[B], used slots per row; they come first.
        packed: whether any row holds more than one document, so that causality alone is not mask enough.
    """

    documents: Tensor
    positions: Tensor
    lengths: Tensor
    packed: bool

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

    def to(self, placement: Placement) -> SequenceLayout:
        """Return the layout on the placement's device."""
        device = placement.device
        return SequenceLayout(
            self.documents.to(device), self.positions.to(device), self.lengths.to(device), self.packed
        )

    def visible(self) -> Tensor:
        """Return the dense mask, bool[B, T, T]: which slot (last axis) a query slot sees; padding sees itself."""
        same = self.documents[:, :, None] == self.documents[:, None, :]
        size = self.documents.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=self.documents.device).tril()
        return same & causal
