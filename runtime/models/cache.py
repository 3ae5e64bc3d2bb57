"""Caches: what layers remember of the rows they have read, one interface for attention and recurrences.

A cache holds B rows of up to `capacity` positions, each row with its own length. Rows that are not active in a call
stay unchanged to the bit: what they would write goes to a slot behind the capacity that nobody reads. `truncate`
forgets from the end, `fork` copies rows, `snapshot` and `restore` take rows out and put them back, `select` is a view
of some rows that a chunk is appended to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor


class LayerCache(ABC):
    """What one layer remembers. `lengths` of the rows are kept by the `ModelCache` that it belongs to.

    Attributes:
        rows: the rows int64[n] that this is a view of; None for all.
    """

    rows: Tensor | None = None

    def select(self, rows: Tensor) -> Self:
        """Return a view of `rows` int64[n]: what is appended to it is appended to them."""
        part = copy(self)
        part.rows = rows
        return part

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


class KVCache(LayerCache):
    """Keys and values, contiguous per row: float[B, capacity + 1, K, E]."""

    def __init__(
        self, rows: int, heads: int, capacity: int, size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.keys = torch.zeros(rows, capacity + 1, heads, size, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    def append(self, keys: Tensor, values: Tensor, slots: Tensor) -> None:
        """Write float[n, T, K, E] to flat `slots` int64[n * T] of all rows and positions (`ModelCache.slots`)."""
        self.keys.flatten(0, 1).index_copy_(0, slots, keys.flatten(0, 1))
        self.values.flatten(0, 1).index_copy_(0, slots, values.flatten(0, 1))

    def read(self, live: int) -> tuple[Tensor, Tensor]:
        """Return keys and values of the first `live` positions, float[n, K, live, E]."""
        keys, values = self.keys[:, :live], self.values[:, :live]
        if self.rows is not None:
            keys, values = keys[self.rows], values[self.rows]
        return keys.transpose(1, 2), values.transpose(1, 2)

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows."""
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def snapshot(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """Return copies of the row's keys and values, float[length, K, E]."""
        return self.keys[row, :length].clone(), self.values[row, :length].clone()

    def restore(self, row: int, snapshot: Any) -> None:
        """Put keys and values back."""
        keys, values = snapshot
        self.keys[row, : len(keys)] = keys
        self.values[row, : len(values)] = values

    def truncate(self, row: int, length: int) -> None:
        """Nothing to forget: positions beyond a row's length are never read."""


class StateCache(LayerCache):
    """States of a recurrence after every position, float[B, capacity + 1, D], and before the first, float[B, D].

    The history makes `truncate` exact; a recurrence for long contexts would keep snapshots instead.
    """

    def __init__(self, rows: int, capacity: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self.states = torch.zeros(rows, capacity + 1, width, device=device, dtype=dtype)

    def append(self, states: Tensor, slots: Tensor) -> None:
        """Write the states float[n, T, D] after each new position to flat `slots` int64[n * T]."""
        self.states.flatten(0, 1).index_copy_(0, slots, states.flatten(0, 1))

    def last(self, past: Tensor) -> Tensor:
        """Return the state float[n, D] after `past` int64[n] positions; zero before the first."""
        rows = torch.arange(len(past), device=past.device) if self.rows is None else self.rows
        return torch.where(past[:, None] > 0, self.states[rows, (past - 1).clamp(min=0)], 0.0)

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows."""
        self.states[target] = self.states[source]

    def snapshot(self, row: int, length: int) -> Tensor:
        """Return a copy of the row's states."""
        return self.states[row, :length].clone()

    def restore(self, row: int, snapshot: Any) -> None:
        """Put states back."""
        self.states[row, : len(snapshot)] = snapshot

    def truncate(self, row: int, length: int) -> None:
        """Nothing to forget: states beyond a row's length are never read."""


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
        self.lengths += counts

    def slots(self, used: Tensor) -> Tensor:
        """Return where new positions lie among all rows and positions, int64[B * T], for `used` bool[B, T] slots.

        Slots that are not used lie behind the capacity.
        """
        return slots_of(torch.arange(self.rows, device=used.device), self.lengths, used, self.capacity)

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

    def select(self, rows: Tensor) -> CacheRows:
        """Return a view of `rows` int64[n], to append a chunk to them alone."""
        return CacheRows(self, rows)


class CacheRows(ModelCache):
    """Some rows of a cache: what is appended is appended to them."""

    def __init__(self, whole: ModelCache, chosen: Tensor) -> None:
        self.whole, self.chosen = whole, chosen
        self.layers = tuple(layer.select(chosen) for layer in whole.layers)
        self.capacity = whole.capacity
        self.lengths = whole.lengths[chosen]

    def advance(self, counts: Tensor) -> None:
        """Add `counts` int64[n] to the lengths of the rows."""
        self.lengths += counts
        self.whole.lengths[self.chosen] = self.lengths

    def slots(self, used: Tensor) -> Tensor:
        """Return where new positions of the rows lie among all, int64[n * T]."""
        return slots_of(self.chosen, self.lengths, used, self.capacity)


def slots_of(rows: Tensor, past: Tensor, used: Tensor, capacity: int) -> Tensor:
    """Return flat indices int64[n * T] into [B, capacity + 1] of the positions of `rows` int64[n] behind `past`."""
    at = past[:, None] + torch.arange(used.shape[1], device=used.device)
    return (rows[:, None] * (capacity + 1) + torch.where(used, at, capacity)).flatten()
