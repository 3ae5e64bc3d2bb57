"""The order of examples: a pure function of seed and position, so that a checkpoint needs one integer.

`shuffle`: example i of epoch e is permutation(seed, e)(i), a Feistel network walked until it falls inside the set.
`replace`: example n is an independent draw keyed by (seed, n).
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ...spec.data import Order

MASK = (1 << 64) - 1
ROUNDS = 4


@frozen
class Draw:
    """The n-th example that a training sees: its index in the data set and its number, which keys fresh values."""

    index: int
    number: int


def draws(order: Order, seed: int, start: int, count: int, size: int) -> Iterator[Draw]:
    """Yield `count` examples from position `start` of a set of `size`. Raises ValueError for an empty set."""
    if size < 1:
        raise ValueError("there is nothing to draw from")
    for number in range(start, start + count):
        if order == "replace":
            yield Draw(mix(mix(seed) ^ number) * size >> 64, number)
        else:
            epoch, at = divmod(number, size)
            yield Draw(permute(at, size, mix(mix(seed) ^ epoch)), number)


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
