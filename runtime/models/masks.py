"""Attention masks as data: which keys a query sees, composed with `&` and `|`.

Of T query slots, slot i of row b has position past[b] + i; the S keys lie at positions 0 .. S - 1, of a cache or, where
nothing came before (past None), of the row itself. Every atom has one rule, which the dense mask broadcasts and
FlexAttention traces. `attend.lower` chooses how a mask is computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Flag, auto
from functools import cached_property, reduce
from operator import and_, or_
from typing import Any, ClassVar

import numpy as np
import torch
from attrs import field, fields, frozen
from attrs.validators import ge
from torch import Tensor

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Seen(Flag):
    """Keys that every query is sure to see: the first of all, the one at its own position."""

    NEITHER = 0
    FIRST = auto()
    ITSELF = auto()


@frozen(eq=False)
class Mask(ABC):
    """A set of (query, key) pairs."""

    @property
    @abstractmethod
    def seen(self) -> Seen:
        """Keys that every query is sure to see."""

    @abstractmethod
    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return whether row b lets query slot q see key kv, as FlexAttention asks: (b, h, q, kv) -> bool."""

    def __and__(self, other: Mask) -> Mask:
        return intersection((self, other))

    def __or__(self, other: Mask) -> Mask:
        return union((self, other))

    def dense(self, rows: int, queries: int, keys: int, past: Tensor | None, device: torch.device) -> Tensor:
        """Return bool[rows or 1, queries, keys], True where a query sees a key; past is int64[rows]."""
        b, q, kv = (torch.arange(size, device=device) for size in (rows, queries, keys))
        visible = self.mask_mod(past)(b[:, None, None], b[:1], q[None, :, None], kv[None, None])
        return visible.expand(-1, queries, keys)

    def within(self, other: Mask) -> bool:
        """Return whether the other surely shows all that this one shows, whatever the sizes."""
        if self == other or isinstance(other, Full) or self == Memory(0):
            return True
        if isinstance(self, Or):
            return all(part.within(other) for part in self.parts)
        if isinstance(other, And):
            return all(self.within(part) for part in other.parts)
        if isinstance(self, And) and any(part.within(other) for part in self.parts):
            return True
        return any(self.within(part) for part in other.parts) if isinstance(other, Or) else self._within(other)

    def _within(self, other: Mask) -> bool:
        """Compare two atoms that differ."""
        return False

    @property
    def static(self) -> bool:
        """Whether the mask depends on no tensor, so that equal masks mean the same in every batch."""
        return not any(isinstance(getattr(self, f.name), Tensor) for f in fields(type(self)))


def _position(b: Tensor, q: Tensor, past: Tensor | None) -> Tensor:
    return q if past is None else past[b] + q


@frozen
class Full(Mask):
    """Every query sees every key."""

    seen = Seen.FIRST | Seen.ITSELF

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: always."""
        return lambda b, h, q, kv: kv >= 0


@frozen
class Causal(Mask):
    """A query sees the keys that are not after it."""

    seen = Seen.FIRST | Seen.ITSELF

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: kv <= position of q."""
        return lambda b, h, q, kv: kv <= _position(b, q, past)

    def _within(self, other: Mask) -> bool:
        return isinstance(other, (Causal, Prefix))


@frozen(eq=False)
class Prefix(Mask):
    """Causal, and every query sees the whole prefix (prefix-LM, Raffel et al. 2020).

    Attributes:
        lengths: int64[B], keys of each row's prefix.
    """

    lengths: Tensor
    seen = Seen.FIRST | Seen.ITSELF

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: kv < lengths[b] or kv <= position of q."""
        return lambda b, h, q, kv: (kv < self.lengths[b]) | (kv <= _position(b, q, past))


@frozen
class Sliding(Mask):
    """A query sees no key that is `window` or more positions before it; write `Causal() & Sliding(window)`.

    Attributes:
        window: keys that a causal query sees at most, itself included, at least 1.
    """

    window: int = field(validator=ge(1))
    seen = Seen.ITSELF

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: position of q - kv < window."""
        return lambda b, h, q, kv: _position(b, q, past) - kv < self.window

    def _within(self, other: Mask) -> bool:
        return isinstance(other, Sliding) and self.window <= other.window


@frozen
class Memory(Mask):
    """Every query sees the first keys: memory before the sequence, which `past` counts.

    Attributes:
        columns: keys that are memory, at least 0.
    """

    columns: int = field(validator=ge(0))

    @property
    def seen(self) -> Seen:
        """Keys that every query is sure to see."""
        return Seen.FIRST if self.columns else Seen.NEITHER

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: kv < columns."""
        return lambda b, h, q, kv: kv < self.columns

    def _within(self, other: Mask) -> bool:
        return isinstance(other, Memory) and self.columns <= other.columns


@frozen(eq=False)
class Document(Mask):
    """A query sees its own document; padding sees only the key at its own position, so that it sees something.

    Attributes:
        ids: int32[B, T], document of each query slot, -1 for padding.
        keys: int32[B, S], document of each key; None where the keys are the query slots themselves.
    """

    ids: Tensor
    keys: Tensor | None = None

    @property
    def seen(self) -> Seen:
        """Keys that every query is sure to see."""
        return Seen.ITSELF if self.keys is None else Seen.NEITHER

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: same document. Raises ValueError if the keys of a cache have no documents."""
        if past is not None and self.keys is None:
            raise ValueError("a document mask over a cache needs the documents of the keys; set Document.keys")
        ids, keys = self.ids, self.ids if self.keys is None else self.keys

        def sees(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
            mine = ids[b, q]
            return ((mine >= 0) & (mine == keys[b, kv])) | ((mine < 0) & (kv == _position(b, q, past)))

        return sees


@frozen(eq=False)
class Tree(Mask):
    """A query slot sees itself, its ancestors, and what came before the tree.

    Attributes:
        parents: int64[B, T], slot of each slot's parent, which comes before it; -1 for a root and for padding.
    """

    parents: Tensor
    seen = Seen.ITSELF

    @cached_property
    def spans(self) -> tuple[Tensor, Tensor]:
        """Places in a depth-first walk, int64[B, T] each: a slot's own, and the end of its descendants'.

        Raises ValueError if a parent does not come before its child.
        """
        parents = self.parents.cpu().numpy()
        rows, slots = parents.shape
        if (parents >= np.arange(slots)).any() or (parents < -1).any():
            raise ValueError("Tree.parents must hold slots that come before their children, or -1")
        row, sizes = np.arange(rows), np.ones((rows, slots + 1), dtype=np.int64)
        for slot in reversed(range(slots)):
            sizes[row, parents[:, slot]] += sizes[:, slot]
        starts, free = np.zeros((rows, slots), dtype=np.int64), np.zeros((rows, slots + 1), dtype=np.int64)
        for slot in range(slots):
            starts[:, slot] = free[row, parents[:, slot]]
            free[row, parents[:, slot]] += sizes[:, slot]
            free[:, slot] = starts[:, slot] + 1
        spans = torch.from_numpy(np.stack((starts, starts + sizes[:, :-1]))).to(self.parents.device)
        return spans[0], spans[1]

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the rule: kv before the tree, or q among the descendants of kv."""
        starts, ends = self.spans
        last = starts.shape[1] - 1

        def sees(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
            slot = kv if past is None else kv - past[b]
            at, key = starts[b, q], slot.clamp(0, last)
            return (slot < 0) | ((slot <= last) & (starts[b, key] <= at) & (at < ends[b, key]))

        return sees

    def _within(self, other: Mask) -> bool:
        return isinstance(other, (Causal, Prefix))


@frozen
class Parts(Mask):
    """Several masks under one operator."""

    parts: tuple[Mask, ...]
    operator: ClassVar[Callable[[Any, Any], Any]]

    @property
    def seen(self) -> Seen:
        """Keys that every query is sure to see."""
        return reduce(type(self).operator, (part.seen for part in self.parts))

    @property
    def static(self) -> bool:
        """Whether no part depends on a tensor."""
        return all(part.static for part in self.parts)

    def mask_mod(self, past: Tensor | None = None) -> MaskMod:
        """Return the parts' rules under the operator."""
        operator, mods = type(self).operator, [part.mask_mod(past) for part in self.parts]
        return lambda b, h, q, kv: reduce(operator, [mod(b, h, q, kv) for mod in mods])


@frozen
class And(Parts):
    """A query sees what all parts show; made by `&`."""

    operator = and_


@frozen
class Or(Parts):
    """A query sees what any part shows; made by `|`."""

    operator = or_


def intersection(masks: Iterable[Mask]) -> Mask:
    """Return what all masks show, flat and without parts that another implies; `Full()` of none."""
    return _join(And, masks, Full(), lambda known, part: known.within(part))


def union(masks: Iterable[Mask]) -> Mask:
    """Return what any mask shows, flat and without parts that another contains; `Memory(0)`, nothing, of none."""
    return _join(Or, masks, Memory(0), lambda known, part: part.within(known))


def _join(kind: type[Parts], masks: Iterable[Mask], neutral: Mask, settles: Callable[[Mask, Mask], bool]) -> Mask:
    kept: list[Mask] = []
    for mask in masks:
        for part in mask.parts if isinstance(mask, kind) else (mask,):
            if part != neutral and not any(settles(known, part) for known in kept):
                kept = [known for known in kept if not settles(part, known)] + [part]
    return neutral if not kept else kept[0] if len(kept) == 1 else kind(tuple(kept))
