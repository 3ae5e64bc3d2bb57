"""Examples of different lengths side by side in flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .batch import Example


@frozen(eq=False)
class Examples(Sequence[Example]):
    """Examples by number; each is a view of the arrays.

    Attributes:
        tokens: int32[N], of all examples. trained: bool[N], as in `Example`. offsets: int64[n + 1], where each begins.
    """

    tokens: npt.NDArray[np.int32]
    trained: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, examples: Iterable[Example]) -> Examples:
        """Copy examples into flat arrays."""
        kept = list(examples)
        lengths = [0, *(len(example.tokens) for example in kept)]
        tokens = np.concatenate([np.empty(0, np.int32), *(example.tokens for example in kept)])
        trained = np.concatenate([np.empty(0, np.bool_), *(example.trained for example in kept)])
        return cls(tokens.astype(np.int32, copy=False), trained, np.cumsum(lengths, dtype=np.int64))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Return int64[n], tokens of each example."""
        return np.diff(self.offsets)

    @cached_property
    def _bounds(self) -> list[int]:
        bounds: list[int] = self.offsets.tolist()
        return bounds

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        """Return an example, or a list of them."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        start, stop = self._bounds[number], self._bounds[number + 1]
        return Example(self.tokens[start:stop], self.trained[start:stop])
