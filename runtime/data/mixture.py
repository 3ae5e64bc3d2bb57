"""Mixtures: examples of several data sets in the shares of their weights."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from ...spec.data import Mixture, Order
from .batch import Example
from .order import Draw, draws, mix
from .shares import Shares, assign

if TYPE_CHECKING:
    from .dataset import Dataset

Split = Literal["train", "valid"]


@frozen(eq=False)
class MixtureDataset:
    """Data sets that take turns.

    What a training draws depends on (seed, n) alone, so its position is one integer. Each part goes through its own
    examples in its own order. By index, for evaluations, the parts lie one behind the other.

    Attributes:
        names: of the parts, sorted. parts: their data sets. shares: whose turn it is.
    """

    spec: Mixture
    names: tuple[str, ...]
    parts: tuple[Dataset, ...]
    shares: Shares
    _starts: dict[Split, list[int]] = field(factory=dict, alias="starts")

    @property
    def order(self) -> Order:
        """How a training draws examples; the parts know their own."""
        return "shuffle"

    @property
    def seed(self) -> int:
        """Seed of the order."""
        return self.spec.seed

    def size(self, split: Split) -> int:
        """Return the number of examples of all parts."""
        return self._bounds(split)[-1]

    def example(self, split: Split, draw: Draw) -> Example:
        """Return the example of whose turn it is; one by index if the draw was not made by a training."""
        part, own = self._turn(split, draw)
        return part.example(split, own)

    def trained(self, split: Split, draw: Draw) -> int:
        """Return how many positions of an example are trained."""
        part, own = self._turn(split, draw)
        return part.trained(split, own)

    def bytes_trained(self, split: Split, index: int) -> int:
        """Return how many bytes the trained targets of an example stand for."""
        part, own = self._found(split, index)
        return self.parts[part].bytes_trained(split, own)

    def describe(self, batch: int = 128) -> str:
        """Return the shares of the parts and their counts."""
        told = []
        for name, data in zip(self.names, self.parts, strict=True):
            part = self.spec.parts[name]
            moved = "" if part.weight_end is None else f" to {part.weight_end:g}"
            told.append(f"{name} ({part.weight:g}{moved}): {data.describe(batch)}")
        over = "" if self.spec.over is None else f", weights move over {self.spec.over:,} examples"
        return f"mixture of {len(told)} parts{over}; " + "; ".join(told)

    def _turn(self, split: Split, draw: Draw) -> tuple[Dataset, Draw]:
        """Return the part whose turn it is, and its own draw."""
        if draw.key is None:
            part, index = self._found(split, draw.index)
            return self.parts[part], Draw(index, draw.number)
        number, place = self.shares.of(draw.number)
        part_set = self.parts[number]
        key = mix(draw.key ^ mix(mix(part_set.seed) + number))
        (own,) = draws(part_set.order, key, place, 1, part_set.size(split))
        return part_set, own

    def _bounds(self, split: Split) -> list[int]:
        if split not in self._starts:
            self._starts[split] = [0, *accumulate(part.size(split) for part in self.parts)]
        return self._starts[split]

    def _found(self, split: Split, index: int) -> tuple[int, int]:
        bounds = self._bounds(split)
        part = bisect_right(bounds, index) - 1
        return part, index - bounds[part]


def build_mixture(spec: Mixture, parts: tuple[Dataset, ...]) -> MixtureDataset:
    """Return a mixture of data sets, given in the order of the sorted names of the spec's parts."""
    names = tuple(sorted(spec.parts))
    weights = [spec.parts[name].weight for name in names]
    ends = [w if (end := spec.parts[name].weight_end) is None else end for name, w in zip(names, weights, strict=True)]
    return MixtureDataset(spec, names, parts, assign(weights, ends, spec.over or 0, spec.seed))
