"""The order of examples: a pure function of seed and position, so that a checkpoint needs one integer.

`shuffle`: example i of epoch e is permutation(seed, e)(i), a Feistel network walked until it falls inside the set.
`replace`: example n is an independent draw keyed by (seed, n).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, repeat

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...spec.data import Order

MASK = (1 << 64) - 1
ROUNDS = 4
FEW = 16
"""Below this many places at once a permutation is faster without arrays."""


@frozen
class Draw:
    """The n-th example that a training sees: its index in the data set and its number, which keys fresh values.

    `key` is the seed that a training draws by, None for an example that is asked for by its index.
    """

    index: int
    number: int
    key: int | None = None


def draws(
    order: Order, seed: int, start: int, count: int, size: int, *, rank: int = 0, ranks: int = 1
) -> Iterator[Draw]:
    """Yield `count` examples from position `start` of a set of `size`. Raises ValueError for an empty set.

    Of several ranks each reads its own: those whose place among the `count` is `rank` modulo `ranks`.
    """
    if size < 1:
        raise ValueError("there is nothing to draw from")
    if not 0 <= rank < ranks:
        raise ValueError(f"there is no rank {rank} of {ranks}")
    numbers = range(start + rank, start + count, ranks)
    if order == "replace":
        yield from (Draw(mix(mix(seed) ^ number) * size >> 64, number, seed) for number in numbers)
        return
    for epoch, inside in groupby(numbers, lambda number: number // size):
        found = list(inside)
        key = mix(mix(seed) ^ epoch)
        if len(found) < FEW:
            yield from (Draw(permute(number - epoch * size, size, key), number, seed) for number in found)
        else:
            places = np.arange(found[0], found[-1] + 1, ranks, dtype=np.uint64) - np.uint64(epoch * size)
            yield from map(Draw, permute_all(places, size, key).tolist(), found, repeat(seed))


def mix(value: int) -> int:
    """Return a well-mixed 64-bit integer (splitmix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def permute(at: int, size: int, key: int) -> int:
    """Return the image of `at` under a permutation of range(size) (Black & Rogaway 2002, cycle walking)."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = at >> half, at & low
        for number in range(ROUNDS):
            left, right = right, left ^ (mix(key ^ (number << 56) ^ right) & low)
        at = left << half | right
        if at < size:
            return at


def permute_all(at: npt.NDArray[np.uint64], size: int, key: int) -> npt.NDArray[np.uint64]:
    """Return what `permute` gives for each of uint64[N]."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low, shift = np.uint64((1 << half) - 1), np.uint64(half)
    found = at.copy()
    walking = np.arange(len(at))
    while len(walking):
        left, right = found[walking] >> shift, found[walking] & low
        for number in range(ROUNDS):
            left, right = right, left ^ (_mix_all(right ^ np.uint64(key ^ (number << 56))) & low)
        found[walking] = left << shift | right
        walking = walking[found[walking] >= size]
    return found


def _mix_all(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return `mix` of each of uint64[N]; products wrap."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
