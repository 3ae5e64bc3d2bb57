"""Sizes of steps by a schedule, and their sums, for any number of steps: no array has an entry of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from attrs import Factory, define, frozen

from ...spec.schedule import Schedule
from ...spec.train import Train
from .schedule import Ints, whole_value, whole_values

SHORTEST = 2
"""Tokens below which no schedule crops an example."""
BLOCK = 1 << 14
"""Steps that are summed at once."""
BLOCKS_KEPT = 64
"""Blocks of which the sum behind each step is kept: 128 KiB each."""
POINTS = 1 << 16
"""Steps of a stage up to which `slots_seen` reads every one."""


@define(eq=False)
class Sizes:
    """The size of each of consecutive steps, such as its examples; summed as far as is asked for.

    Threads may ask at the same time: what is kept does not depend on who made it.

    Attributes:
        schedule, peak, least: give the sizes, as `whole_value` does.
        first, count: the first of these steps in the training, and how many there are. whole: steps of the training.
        sums: by block, sizes of the steps before it. inside: by block, sums of its own steps up to each.
    """

    schedule: Schedule
    peak: int
    least: int
    first: int
    count: int
    whole: int
    sums: dict[int, int] = Factory(lambda: {0: 0})
    inside: dict[int, Ints] = Factory(dict)

    def of(self, number: int) -> int:
        """Return the size of a step, counted from 0."""
        return whole_value(self.schedule, self.peak, self.least, self.first + number, self.whole)

    def before(self, number: int) -> int:
        """Return the sizes of the steps before one, counted from 0, together; of all if it is `count`."""
        block, rest = divmod(number, BLOCK)
        for made in range(len(self.sums), block + 1):
            self.sums[made] = self.sums[made - 1] + int(self._sums_of(made - 1)[-1])
        return self.sums[block] + (int(self._sums_of(block)[rest - 1]) if rest else 0)

    def _sums_of(self, block: int) -> Ints:
        found = self.inside.get(block)
        if found is None:
            start = self.first + block * BLOCK
            updates = range(start, min(start + BLOCK, self.first + self.count))
            found = np.cumsum(whole_values(self.schedule, self.peak, self.least, updates, self.whole))
            if len(self.inside) >= BLOCKS_KEPT:
                self.inside.clear()
            self.inside[block] = found
        return found


def batches(spec: Train, before: int, whole: int) -> Sizes | None:
    """Return the examples of each step of a train that begins after `before` of `whole` steps; None: always `batch`."""
    schedule = spec.batch_schedule
    return None if schedule is None else Sizes(schedule, spec.batch, 1, before + 1, spec.num_steps(), whole)


def lengths(spec: Train, seq_len: int, before: int, whole: int) -> Sizes | None:
    """Return the tokens of an example of `seq_len` that each of these steps reads; None: all."""
    schedule = spec.length_schedule
    return None if schedule is None else Sizes(schedule, seq_len, SHORTEST, before + 1, spec.num_steps(), whole)


@frozen(eq=False)
class Slots:
    """What has been read after each step, from none on: exact at some steps, a line between them.

    Attributes:
        at: rising steps, from 0 to the last. sums: tokens after each of them.
    """

    at: Sequence[int]
    sums: Sequence[int]

    def __len__(self) -> int:
        return self.at[-1] + 1

    def __getitem__(self, step: int) -> int:
        step += len(self) if step < 0 else 0
        if not 0 <= step < len(self):
            raise IndexError(step)
        number = bisect_right(self.at, step) - 1
        done, rest = self.sums[number], step - self.at[number]
        if not rest:
            return done
        return done + (self.sums[number + 1] - done) * rest // (self.at[number + 1] - self.at[number])


def slots_seen(spec: Train, seq_lens: Sequence[int]) -> Slots:
    """Return after each step the tokens read if no example is shorter; `seq_lens` are of the stages.

    Where sizes follow a schedule over more than `POINTS` steps some steps stand for those around them.
    """
    at, sums = [0], [0]
    whole = spec.num_steps()
    parts = [spec.amended(stage) for stage in spec.stages] or [spec]
    for part, seq_len in zip(parts, seq_lens, strict=True):
        before, count = at[-1], part.num_steps()
        examples, tokens = batches(part, before, whole), lengths(part, seq_len, before, whole)
        stride = count if examples is None and tokens is None else -(-count // POINTS)
        for start in range(0, count, stride):
            steps = min(stride, count - start)
            middle = start + steps // 2
            batch = part.batch if examples is None else examples.of(middle)
            at.append(at[-1] + steps)
            sums.append(sums[-1] + steps * batch * (seq_len if tokens is None else tokens.of(middle)))
    return Slots(at, sums)
