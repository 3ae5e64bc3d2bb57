"""Which part of a mixture the n-th example comes from, as a function of n and of how many came from each part.

The count of every part among the first n examples is the floor or the ceiling of the sum of its shares, for every n.
Example j of a part may come once that sum exceeds j - 1 and must have come when it reaches j; serving the part whose
next example is due first keeps all of these bounds, because some order does (Tijdeman 1980, the chairman assignment
problem; Steiner & Yeomans 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .order import mix

FINEST = 10**6
"""Largest denominator of a share: finer weights are rounded to it."""


@frozen(eq=False)
class Shares:
    """The table of an assignment, and how it goes on for ever.

    Attributes:
        part: uint8[N] or uint16[N], the part of each example; from `start` on the rest is repeated.
        place: int64[N], how many examples of that part came before.
        start: examples before what is repeated. period: counts of each part in it.
    """

    part: npt.NDArray[np.uint16]
    place: npt.NDArray[np.int64]
    start: int
    period: tuple[int, ...]

    def of(self, number: int) -> tuple[int, int]:
        """Return the part of example `number`, and how many examples of this part come before it."""
        rounds, at = 0, number
        if number >= len(self.part):
            rounds, at = divmod(number - self.start, len(self.part) - self.start)
            at += self.start
        part = int(self.part[at])
        return part, int(self.place[at]) + rounds * self.period[part]


def assign(weights: Sequence[float], ends: Sequence[float], over: int, seed: int) -> Shares:
    """Return which part each example comes from.

    Args:
        weights: of each part at the start, 0 or more.
        ends: what they have moved to, in a straight line, after `over` examples.
        over: 0 if they never move; then `weights` are not read.
        seed: says which part comes first of equally due ones.
    """
    first, last = _whole(weights), _whole(ends)
    if not over:
        first = last
    order = sorted(range(len(last)), key=lambda p: mix(mix(seed) ^ p))
    period, rounds = sum(last), 3 if over else 0
    while True:
        length = over + (rounds + 1) * period
        windows = [_windows(first[p], sum(first), last[p], period, over, length) for p in range(len(last))]
        part = _serve(windows, order, length - period if rounds else length)
        if (found := _repeats(part, over, last, rounds)) is not None:
            break
        rounds *= 2
    start, stop = found
    part = part[:stop]
    place = np.empty(stop, dtype=np.int64)
    for p in range(len(last)):
        mine = part == p
        place[mine] = np.arange(int(mine.sum()))
    return Shares(part, place, start, tuple(w * ((stop - start) // period) for w in last))


def _repeats(part: npt.NDArray[np.uint16], over: int, last: list[int], rounds: int) -> tuple[int, int] | None:
    """Return where what comes after the first `over` examples begins to repeat, and where for the first time it has."""
    period = sum(last)
    if not rounds:
        return 0, period
    seen: dict[tuple[int, ...], int] = {}
    for number in range(rounds + 1):
        at = over + number * period
        counts = np.bincount(part[:at], minlength=len(last))
        state = tuple(int(count) - number * w for count, w in zip(counts, last, strict=True))
        if state in seen:
            return over + seen[state] * period, at
        seen[state] = number
    return None


def _whole(weights: Sequence[float]) -> list[int]:
    """Return weights as whole numbers without a common factor, whose sum is at most `FINEST`."""
    exact = [_short(Fraction(repr(float(weight)))) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    common = gcd(*whole)
    whole = [w // common for w in whole]
    total = sum(whole)
    if total <= FINEST:
        return whole
    floors = [w * FINEST // total for w in whole]
    rest = sorted(range(len(whole)), key=lambda p: (-(whole[p] * FINEST % total), p))
    for p in rest[: FINEST - sum(floors)]:
        floors[p] += 1
    return floors


def _short(weight: Fraction) -> Fraction:
    """Return the fraction that was meant: 1/3 for 0.3333333333333333."""
    near = weight.limit_denominator(1000)
    return near if abs(near - weight) < Fraction(1, 10**14) else weight


def _windows(first: int, firsts: int, last: int, lasts: int, over: int, length: int) -> tuple[memoryview, memoryview]:
    """Return, for each example of a part in turn, the first place it may have and the last; then `length` once more.

    The part's share of example n is the mean over it of a straight line from first / firsts to last / lasts, which is
    reached after `over` examples.
    """
    scale = lcm(firsts, lasts)
    a, b = first * (scale // firsts), last * (scale // lasts)
    kind = object if 8 * max(over, 1) * length * scale > 1 << 62 else np.int64
    n = np.arange(1, length + 1).astype(kind)
    if over:
        moved = np.minimum(n, over)
        top, bottom = 2 * over * a * moved + (b - a) * moved * moved + 2 * over * b * (n - moved), 2 * over * scale
    else:
        top, bottom = n * b, scale
    floor = (top // bottom).astype(np.int64)
    ceiling = floor + (top % bottom > 0)
    return _reached(ceiling, length), _reached(floor, length)


def _reached(sums: npt.NDArray[np.int64], length: int) -> memoryview:
    """Return, for j from 1, the first place where a sum that grows by at most 1 is j."""
    places: npt.NDArray[np.int64] = np.append(np.flatnonzero(np.diff(sums, prepend=0)), length)
    return places.data


def _serve(windows: list[tuple[memoryview, memoryview]], order: list[int], length: int) -> npt.NDArray[np.uint16]:
    """Return the part of each example: of those that may come, the one that must come first."""
    may = [window[0][0] for window in windows]
    must = [window[1][0] for window in windows]
    counts = [0] * len(windows)
    part = np.empty(length, dtype=np.uint16)
    for n in range(length):
        best, chosen = 1 << 62, -1
        for p in order:
            if may[p] <= n and must[p] < best:
                best, chosen = must[p], p
        part[n] = chosen
        counts[chosen] = count = counts[chosen] + 1
        release, due = windows[chosen]
        may[chosen] = release[min(count, len(release) - 1)]
        must[chosen] = due[min(count, len(due) - 1)]
    return part
