"""A vocabulary as a trie of arrays, made once per tokenizer. Needs numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from attrs import frozen

Ints = npt.NDArray[np.int64]


@frozen
class Level:
    """The trie nodes at one depth, numbered on from those above.

    Attributes:
        parents: int64[N], number of the parent within the level above. bytes: int64[N], the byte that leads here.
    """

    parents: Ints
    bytes: Ints


@frozen(eq=False, slots=False)
class Vocabulary:
    """The bytes of token ids.

    Attributes:
        given: bytes of each id; None for special tokens and unused ids.
        specials: id of each special token by spelling.
    """

    given: Sequence[bytes | None]
    specials: Mapping[str, int]

    @cached_property
    def texts(self) -> list[bytes | None]:
        """The bytes of each id; none for special tokens, whatever was given for them."""
        own = list(self.given)
        for number in self.specials.values():
            own[number] = None
        return own

    @cached_property
    def lengths(self) -> Ints:
        """Bytes of each id, int64[V]; special tokens and unused ids have none."""
        return np.fromiter((len(text) if text else 0 for text in self.texts), np.int64, len(self.texts))

    @cached_property
    def digest(self) -> str:
        """A hash of everything that a lift depends on."""
        found = hashlib.blake2b(self.lengths.tobytes(), digest_size=16)
        found.update(b"".join(text or b"" for text in self.texts))
        found.update(repr(sorted(self.specials.items())).encode())
        return found.hexdigest()

    @cached_property
    def trie(self) -> tuple[list[Level], Ints]:
        """The levels of the trie, and the node of each id, int64[V]; ids without bytes are at the root, node 0."""
        lengths = self.lengths
        flat = np.frombuffer(b"".join(text or b"" for text in self.texts), np.uint8)
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        nodes, ends = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
        levels, total, depth = [], 1, 0
        alive = np.flatnonzero(lengths)
        while len(alive):
            keys = nodes[alive] << 8 | flat[offsets[alive] + depth]
            found, inverse = np.unique(keys, return_inverse=True)
            levels.append(Level(found >> 8, found & 255))
            nodes[alive] = inverse
            depth += 1
            done = lengths[alive] == depth
            ends[alive[done]] = total + inverse[done]
            total += len(found)
            alive = alive[~done]
        return levels, ends

    @cached_property
    def sorted_texts(self) -> tuple[list[bytes], list[int]]:
        """The texts in order, and their ids."""
        listed = sorted((text, number) for number, text in enumerate(self.texts) if text)
        return [text for text, _ in listed], [number for _, number in listed]
