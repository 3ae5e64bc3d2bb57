"""Pieces: copies of what caches hold of spans of positions. They are never written to, so that they can be shared."""

from __future__ import annotations

from abc import ABC, abstractmethod

from attrs import frozen
from torch import Tensor


class Piece(ABC):
    """What one layer holds of a span of positions."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Bytes of what is held."""

    @abstractmethod
    def first(self, count: int) -> Piece | None:
        """Return a view of the first `count` positions; None if the span cannot be cut there."""

    @abstractmethod
    def split(self, at: int) -> tuple[Piece | None, Piece]:
        """Return copies of what lies before and behind the first `at` positions; no left one if it cannot be cut."""


@frozen(eq=False)
class KVPiece(Piece):
    """Keys and values float[T, K, E] of a span, which can be cut anywhere."""

    keys: Tensor
    values: Tensor

    @property
    def num_bytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes

    def first(self, count: int) -> KVPiece:
        """Return a view."""
        return KVPiece(self.keys[:count], self.values[:count])

    def split(self, at: int) -> tuple[KVPiece, KVPiece]:
        """Copy both parts, so that neither keeps the memory of the other."""
        left, right = self.first(at), KVPiece(self.keys[at:], self.values[at:])
        return KVPiece(left.keys.clone(), left.values.clone()), KVPiece(right.keys.clone(), right.values.clone())


@frozen(eq=False)
class StatePiece(Piece):
    """The state float[D] after a span of `length` positions, which knows nothing of any before."""

    length: int
    state: Tensor

    @property
    def num_bytes(self) -> int:
        """Bytes of the state."""
        return self.state.nbytes

    def first(self, count: int) -> StatePiece | None:
        """Return the piece if that is all of it."""
        return self if count == self.length else None

    def split(self, at: int) -> tuple[None, StatePiece]:
        """Keep the state at the end."""
        return None, StatePiece(self.length - at, self.state)


@frozen(eq=False)
class ModelPiece:
    """What the layers of a model hold of positions [start, end) of a row.

    Attributes:
        parts: per layer; None where its state after the span is not known.
    """

    start: int
    end: int
    parts: tuple[Piece | None, ...]

    @property
    def whole(self) -> bool:
        """Whether a row can go on behind the span."""
        return None not in self.parts

    @property
    def num_bytes(self) -> int:
        """Bytes of all layers."""
        return sum(part.num_bytes for part in self.parts if part is not None)

    def first(self, count: int) -> ModelPiece:
        """Return a view of the first `count` positions."""
        parts = tuple(None if part is None else part.first(count) for part in self.parts)
        return ModelPiece(self.start, self.start + count, parts)

    def split(self, at: int) -> tuple[ModelPiece, ModelPiece]:
        """Return the first `at` positions and the others, 0 < at < end - start, which share no memory."""
        halves = [(None, None) if part is None else part.split(at) for part in self.parts]
        middle = self.start + at
        left, right = tuple(half[0] for half in halves), tuple(half[1] for half in halves)
        return ModelPiece(self.start, middle, left), ModelPiece(middle, self.end, right)
