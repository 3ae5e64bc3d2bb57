"""Documents that lie side by side in rows, taken apart into padded rows of their own and put back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor


@frozen(eq=False)
class Spans:
    """Where documents lie in rows that are laid end to end; every slot of padding is a document of its own.

    Attributes:
        starts: int64[n], first slots. lengths: int64[n], in slots; they add up to B * T.
    """

    starts: Tensor
    lengths: Tensor

    @staticmethod
    def of(ids: Tensor) -> Spans | None:
        """Return the spans of document ids int32[B, T], -1 for padding; None if a document lies in pieces."""
        first = torch.ones_like(ids, dtype=torch.bool)
        first[:, 1:] = (ids[:, 1:] != ids[:, :-1]) | (ids[:, 1:] < 0)
        row, slot = first.nonzero(as_tuple=True)
        starts, found = row * ids.shape[1] + slot, ids[row, slot].long()
        documents = (row * (ids.max() + 1) + found)[found >= 0].sort().values
        if bool((documents[1:] == documents[:-1]).any()):
            return None
        return Spans(starts, torch.diff(starts, append=starts.new_tensor([ids.numel()])))


@frozen(eq=False)
class Groups:
    """Documents in padded rows, those between two powers of two in length side by side.

    Attributes:
        sizes: rows and width of each group.
        slots: int64[M], which slot of the B * T each slot of the groups holds; a document's last one in its padding.
        places: int64[B * T], where each slot lies among the M.
    """

    sizes: tuple[tuple[int, int], ...]
    slots: Tensor
    places: Tensor

    @staticmethod
    def of(spans: Spans) -> Groups:
        """Group documents by length."""
        device = spans.starts.device
        powers = torch.bucketize(spans.lengths, 2 ** torch.arange(32, device=device))
        sizes, slots, used = [], [], []
        for power in sorted(set(powers.tolist())):
            starts, lengths = spans.starts[powers == power, None], spans.lengths[powers == power, None]
            sizes.append((len(starts), int(lengths.max())))
            offsets = torch.arange(sizes[-1][1], device=device)
            slots.append((starts + torch.minimum(offsets, lengths - 1)).flatten())
            used.append((offsets < lengths).flatten())
        taken = torch.cat(slots)
        filled = torch.cat(used).nonzero()[:, 0]
        places = torch.empty_like(filled)
        places[taken[filled]] = filled
        return Groups(tuple(sizes), taken, places)

    def take(self, x: Tensor) -> list[Tensor]:
        """Return [n, W, ...] per group of [B * T, ...]."""
        parts = torch.split(x.index_select(0, self.slots), [n * width for n, width in self.sizes])
        return [part.view(n, width, *x.shape[1:]) for part, (n, width) in zip(parts, self.sizes, strict=True)]

    def put(self, parts: Sequence[Tensor]) -> Tensor:
        """Return [B * T, ...] of [n, W, ...] per group."""
        together = torch.cat([part.flatten(0, 1) for part in parts]) if len(parts) > 1 else parts[0].flatten(0, 1)
        return together.index_select(0, self.places)
