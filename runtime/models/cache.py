"""Caches: what layers remember of the rows they have read, one interface for attention and recurrences.

A cache holds B rows of up to `capacity` positions, each row with its own length. Rows that are not active in a call
stay unchanged to the bit: what they would write goes to a slot behind the capacity that nobody reads. `truncate`
forgets from the end, `fork` copies rows, `snapshot` and `restore` take spans of rows out as pieces and put them back,
`select` is a view of some rows that a chunk is appended to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from attrs import evolve
from torch import Tensor

from .pieces import KVPiece, ModelPiece, Piece, StatePiece


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
    def snapshot(self, row: int, start: int, end: int) -> Piece | None:
        """Return a copy of what a row holds of positions [start, end); None if it no longer knows."""

    @abstractmethod
    def restore(self, row: int, start: int, piece: Piece) -> None:
        """Put a piece into a row from position `start` on."""

    @abstractmethod
    def truncate(self, row: int, length: int) -> None:
        """Forget a row's positions from `length` on. Raises ValueError if nothing could go on from there."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows."""
        return sum(held.nbytes for held in vars(self).values() if isinstance(held, Tensor))


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

    def put(self, keys: Tensor, values: Tensor, position: int, slots: Tensor | None) -> None:
        """Write float[n, K, E] to flat `slots` int64[n], or where None to one position of the first n rows."""
        if slots is None:
            self.keys[: len(keys), position] = keys
            self.values[: len(values), position] = values
        else:
            self.keys.flatten(0, 1).index_copy_(0, slots, keys)
            self.values.flatten(0, 1).index_copy_(0, slots, values)

    def read(self, live: int, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """Return keys and values of the first `live` positions of the first `rows` rows, float[n, K, live, E]."""
        keys, values = self.keys[:rows, :live], self.values[:rows, :live]
        if self.rows is not None:
            keys, values = keys[self.rows], values[self.rows]
        return keys.transpose(1, 2), values.transpose(1, 2)

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy rows."""
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def snapshot(self, row: int, start: int, end: int) -> KVPiece:
        """Return copies of the row's keys and values of a span."""
        return KVPiece(self.keys[row, start:end].clone(), self.values[row, start:end].clone())

    def restore(self, row: int, start: int, piece: Piece) -> None:
        """Put keys and values back."""
        assert isinstance(piece, KVPiece)
        end = start + len(piece.keys)
        self.keys[row, start:end] = piece.keys
        self.values[row, start:end] = piece.values

    def truncate(self, row: int, length: int) -> None:
        """Nothing to forget: positions beyond a row's length are never read."""


class StateCache(LayerCache):
    """States of a recurrence after every position, float[B, capacity + 1, D], and before the first, float[B, D].

    The history makes `truncate` exact; a recurrence for long contexts would keep snapshots instead.

    Attributes:
        base: int64[B] on the host: a row's states are known after `base` positions and more, and before the first. It
            is where a row was restored, for pieces hold a state at their end alone.
    """

    def __init__(self, rows: int, capacity: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self.states = torch.zeros(rows, capacity + 1, width, device=device, dtype=dtype)
        self.base = torch.zeros(rows, dtype=torch.int64)

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
        self.base[target.cpu()] = self.base[source.cpu()]

    def snapshot(self, row: int, start: int, end: int) -> StatePiece | None:
        """Return a copy of the state after a span; None before the row's base."""
        if end < int(self.base[row]):
            return None
        # Of an empty span this is the slot that nobody reads.
        return StatePiece(end - start, self.states[row, end - 1].clone())

    def restore(self, row: int, start: int, piece: Piece) -> None:
        """Put a state back; the row's base is there from now on."""
        assert isinstance(piece, StatePiece)
        end = start + piece.length
        self.states[row, end - 1] = piece.state
        self.base[row] = end

    def truncate(self, row: int, length: int) -> None:
        """Check that the state is known: those beyond a row's length are never read. Raises ValueError if not."""
        base = int(self.base[row])
        if 0 < length < base:
            raise ValueError(f"row {row} was restored at {base} positions: its state after {length} is not known")
        self.base[row] = min(base, length)


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

    def places(self, numbers: Tensor, positions: Tensor) -> Tensor:
        """Return where `positions` int64[N] of rows `numbers` int[N] lie among all rows and positions, int64[N]."""
        return numbers.long() * (self.capacity + 1) + positions

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

    def snapshot(self, row: int, start: int = 0, end: int | None = None) -> ModelPiece:
        """Return a copy of what a row holds of positions [start, end), by default of all.

        Raises ValueError unless 0 <= start <= end <= the row's length, and start < end if that is not 0.
        """
        length = int(self.lengths[row])
        end = length if end is None else end
        if not 0 <= start <= end <= length or 0 < start == end:
            raise ValueError(f"row {row} holds {length} positions, not a span [{start}, {end})")
        return ModelPiece(start, end, tuple(layer.snapshot(row, start, end) for layer in self.layers))

    def fill(self, row: int, piece: ModelPiece) -> ModelPiece:
        """Return a piece with what it lacks taken from a row that holds the same positions, as far as that knows."""
        layers = zip(self.layers, piece.parts, strict=True)
        parts = (layer.snapshot(row, piece.start, piece.end) if part is None else part for layer, part in layers)
        return evolve(piece, parts=tuple(parts))

    def restore(self, row: int, *pieces: ModelPiece) -> None:
        """Put spans that follow one another behind what a row holds.

        Raises ValueError if the first does not begin where the row ends, if they do not follow one another, if they do
        not fit the capacity, or if the last one lacks what some layer would go on from.
        """
        at = int(self.lengths[row])
        for piece in pieces:
            if piece.start != at:
                raise ValueError(f"a span from position {piece.start} on cannot follow {at} positions in row {row}")
            at = piece.end
        if at > self.capacity:
            raise ValueError(f"a snapshot of {at} positions does not fit a capacity of {self.capacity}")
        if pieces and not pieces[-1].whole:
            raise ValueError(f"a row cannot go on from {at} positions: some layer's state there is not known")
        for number, layer in enumerate(self.layers):
            for piece in pieces:
                part = piece.parts[number]
                if part is not None:
                    layer.restore(row, piece.start, part)
        self.lengths[row] = at

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows of all layers."""
        return self.lengths.nbytes + sum(layer.num_bytes for layer in self.layers)

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

    def places(self, numbers: Tensor, positions: Tensor) -> Tensor:
        """Return where `positions` int64[N] of the rows, numbered as chosen, lie among all, int64[N]."""
        return super().places(self.chosen[numbers.long()], positions)


def slots_of(rows: Tensor, past: Tensor, used: Tensor, capacity: int) -> Tensor:
    """Return flat indices int64[n * T] into [B, capacity + 1] of the positions of `rows` int64[n] behind `past`."""
    at = past[:, None] + torch.arange(used.shape[1], device=used.device)
    return (rows[:, None] * (capacity + 1) + torch.where(used, at, capacity)).flatten()
