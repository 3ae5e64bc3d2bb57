"""Caches: what layers remember of the rows they have read, one interface for attention and recurrences.

A cache holds B rows of up to `capacity` positions, each row with its own length. Rows that are not active in a call
stay unchanged to the bit. `truncate` forgets from the end, `fork` copies rows, `snapshot` and `restore` take rows
out and put them back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor


class LayerCache(ABC):
    """What one layer remembers. `lengths` of the rows are kept by the `ModelCache` that it belongs to."""

    @abstractmethod
    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows `source` int64[n] onto rows `target` int64[n]."""

    @abstractmethod
    def snapshot(self, row: int, length: int) -> Any:
        """Return what row `row` of `length` positions holds, independent of later changes."""

    @abstractmethod
    def restore(self, row: int, snapshot: Any) -> None:
        """Put a snapshot into a row."""

    @abstractmethod
    def truncate(self, row: int, length: int) -> None:
        """Forget a row's positions from `length` on."""

    @abstractmethod
    def take(self, rows: Tensor) -> LayerCache:
        """Return a cache that holds copies of `rows` int64[n]."""

    @abstractmethod
    def put(self, rows: Tensor, part: Any) -> None:
        """Write what `take` gave back into its rows."""


class KVCache(LayerCache):
    """Keys and values, contiguous per row: float[B, K, capacity, E]."""

    def __init__(
        self, rows: int, heads: int, capacity: int, size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.keys = torch.zeros(rows, heads, capacity, size, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    def append(self, keys: Tensor, values: Tensor, past: Tensor, used: Tensor) -> None:
        """Write float[B, K, T, E] behind `past` int64[B]; `used` bool[B, T] says which slots count."""
        row, slot = used.nonzero(as_tuple=True)
        at = past[row] + slot
        self.keys[row, :, at] = keys[row, :, slot]
        self.values[row, :, at] = values[row, :, slot]

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows."""
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def snapshot(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """Return copies of the row's keys and values, float[K, length, E]."""
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def restore(self, row: int, snapshot: Any) -> None:
        """Put keys and values back."""
        keys, values = snapshot
        self.keys[row, :, : keys.shape[1]] = keys
        self.values[row, :, : values.shape[1]] = values

    def truncate(self, row: int, length: int) -> None:
        """Nothing to forget: positions beyond a row's length are never read."""

    def take(self, rows: Tensor) -> KVCache:
        """Return a cache of copied rows."""
        part = copy(self)
        part.keys, part.values = self.keys[rows], self.values[rows]
        return part

    def put(self, rows: Tensor, part: Any) -> None:
        """Write rows back."""
        self.keys[rows], self.values[rows] = part.keys, part.values


class StateCache(LayerCache):
    """States of a recurrence after every position, float[B, capacity + 1, D]; index 0 is the initial state.

    The history makes `truncate` exact; a recurrence for long contexts would keep snapshots instead.
    """

    def __init__(self, rows: int, capacity: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self.states = torch.zeros(rows, capacity + 1, width, device=device, dtype=dtype)

    def append(self, states: Tensor, past: Tensor, used: Tensor) -> None:
        """Write the states float[B, T, D] after each new position."""
        row, slot = used.nonzero(as_tuple=True)
        self.states[row, past[row] + slot + 1] = states[row, slot]

    def last(self, past: Tensor) -> Tensor:
        """Return the state float[B, D] after `past` int64[B] positions."""
        return self.states[torch.arange(len(past), device=past.device), past]

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows."""
        self.states[target] = self.states[source]

    def snapshot(self, row: int, length: int) -> Tensor:
        """Return a copy of the row's states."""
        return self.states[row, : length + 1].clone()

    def restore(self, row: int, snapshot: Any) -> None:
        """Put states back."""
        self.states[row, : len(snapshot)] = snapshot

    def truncate(self, row: int, length: int) -> None:
        """Nothing to forget: states beyond a row's length are never read."""

    def take(self, rows: Tensor) -> StateCache:
        """Return a cache of copied rows."""
        part = copy(self)
        part.states = self.states[rows]
        return part

    def put(self, rows: Tensor, part: Any) -> None:
        """Write rows back."""
        self.states[rows] = part.states


class ModelCache:
    """The caches of a model's layers and the lengths int64[B] of its rows."""

    def __init__(self, layers: Sequence[LayerCache], rows: int, capacity: int, device: torch.device) -> None:
        self.layers = tuple(layers)
        self.capacity = capacity
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    def advance(self, counts: Tensor) -> None:
        """Add `counts` int64[B] to the lengths, after every layer has appended."""
        self.lengths = self.lengths + counts

    def reset(self, row: int) -> None:
        """Empty a row."""
        self.truncate(row, 0)

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's positions from `length` on. Raises ValueError if the row is shorter."""
        if length > int(self.lengths[row]):
            raise ValueError(f"row {row} holds {int(self.lengths[row])} positions, not {length}")
        for layer in self.layers:
            layer.truncate(row, length)
        self.lengths[row] = length

    def fork(self, source: int, target: int) -> None:
        """Make row `target` equal to row `source`; they part from then on."""
        device = self.lengths.device
        for layer in self.layers:
            layer.copy_rows(torch.tensor([source], device=device), torch.tensor([target], device=device))
        self.lengths[target] = self.lengths[source]

    def snapshot(self, row: int) -> tuple[int, list[Any]]:
        """Return what a row holds, independent of later changes."""
        length = int(self.lengths[row])
        return length, [layer.snapshot(row, length) for layer in self.layers]

    def restore(self, row: int, snapshot: tuple[int, list[Any]]) -> None:
        """Put a snapshot into a row. Raises ValueError if it is longer than the capacity."""
        length, parts = snapshot
        if length > self.capacity:
            raise ValueError(f"a snapshot of {length} positions does not fit a capacity of {self.capacity}")
        for layer, part in zip(self.layers, parts, strict=True):
            layer.restore(row, part)
        self.lengths[row] = length

    def take(self, rows: Tensor) -> ModelCache:
        """Return a cache of its own that holds copies of `rows` int64[n]."""
        part = ModelCache([layer.take(rows) for layer in self.layers], len(rows), self.capacity, self.lengths.device)
        part.lengths = self.lengths[rows]
        return part

    def put(self, rows: Tensor, part: ModelCache) -> None:
        """Write a part that `take` gave, and that may have grown, back into its rows."""
        for layer, taken in zip(self.layers, part.layers, strict=True):
            layer.put(rows, taken)
        self.lengths[rows] = part.lengths
