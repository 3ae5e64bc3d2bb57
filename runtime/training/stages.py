"""Stages: which data, positions, batch and learning rate a step has, a pure function of its number.

A train without stages is one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from math import ceil

import numpy as np
from attrs import frozen

from ...spec.model import Transformer
from ...spec.train import Train
from ..data.dataset import Dataset
from .job import TrainJob
from .schedule import Ints, value_at, whole_values

SHORTEST = 2
"""Tokens below which no schedule crops an example."""


@frozen(eq=False)
class Stage:
    """Consecutive steps of a training.

    Attributes:
        spec: the train as it is over these steps, as if they were all.
        dataset: what it draws from. model: the architecture, with the positions of these steps.
        before: steps of the stages before it. first: position in the data of its first example.
        peak: of the learning rate. within: whether its schedule counts its own steps, else those of the whole training.
        whole: steps of all stages. seq_len: tokens of an example without a schedule of its length.
    """

    spec: Train
    dataset: Dataset
    model: Transformer
    before: int
    first: int
    within: bool
    whole: int
    seq_len: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a 1-based step of the training."""
        spec = self.spec
        if self.within:
            return value_at(spec.schedule, spec.optim.lr, step - self.before, spec.num_steps())
        return value_at(spec.schedule, spec.optim.lr, step, self.whole)

    def batch(self, step: int) -> int:
        """Return the examples of a 1-based step of the training."""
        if self.spec.batch_schedule is None:
            return self.spec.batch
        return int(self._ends[step - self.before] - self._ends[step - self.before - 1])

    def place(self, step: int) -> int:
        """Return the position in the data of the first example of a step, or of what follows the stage's last."""
        done = step - self.before - 1
        return self.first + (done * self.spec.batch if self.spec.batch_schedule is None else int(self._ends[done]))

    def length(self, step: int) -> int | None:
        """Return how many tokens are read of the examples of a step, besides the one that follows; None: all."""
        return None if self.spec.length_schedule is None else int(self._lengths[step - self.before - 1])

    @cached_property
    def _ends(self) -> Ints:
        return np.concatenate([[0], np.cumsum(batches(self.spec, self.before, self.whole))])

    @cached_property
    def _lengths(self) -> Ints:
        return lengths(self.spec, self.seq_len, self.before, self.whole)


def batches(spec: Train, before: int, whole: int) -> Ints:
    """Return int64[N], the examples of each step of a train that begins after `before` of `whole` steps."""
    count = spec.num_steps()
    if spec.batch_schedule is None:
        return np.full(count, spec.batch)
    return whole_values(spec.batch_schedule, spec.batch, 1, before + 1, count, whole)


def lengths(spec: Train, seq_len: int, before: int, whole: int) -> Ints:
    """Return int64[N], the tokens of an example of `seq_len` that each of these steps reads."""
    count = spec.num_steps()
    if spec.length_schedule is None:
        return np.full(count, seq_len)
    return whole_values(spec.length_schedule, seq_len, SHORTEST, before + 1, count, whole)


def stages_of(job: TrainJob) -> tuple[Stage, ...]:
    """Return the stages of a training in order; the whole as one if it has none.

    Stages of one block of data go on in it by passes: those that have been made are examples drawn over the size. So
    nothing is drawn twice in a pass where sizes are the same, and where they differ the share of a pass carries over,
    rounded up to an example.
    """
    spec, whole = job.spec, job.spec.num_steps()
    if not spec.stages:
        return (Stage(spec, job.dataset, job.model, 0, 0, False, whole, job.seq_lens[0]),)
    passes: dict[int, Fraction] = {}
    found: list[Stage] = []
    before = 0
    for told, (dataset, model), seq_len in zip(spec.stages, job.staged, job.seq_lens, strict=True):
        size = dataset.size("train")
        first = ceil(passes.get(told.block, Fraction(0)) * size)
        within = told.schedule is not None
        stage = Stage(spec.amended(told), dataset, model, before, first, within, whole, seq_len)
        before += int(told.steps)
        passes[told.block] = Fraction(stage.place(before + 1), size)
        found.append(stage)
    return tuple(found)


def stage_at(spec: Train, step: int) -> int:
    """Return the number of the stage that a step belongs to; what is before all steps belongs to the first."""
    end = 0
    for number, stage in enumerate(spec.stages):
        end += int(stage.steps)
        if step <= end:
            return number
    return max(0, len(spec.stages) - 1)


def slots_seen(spec: Train, seq_lens: Sequence[int]) -> Ints | range:
    """Return [N + 1], after each step the tokens read if no example is shorter; `seq_lens` are of its stages.

    Where all steps are alike no array is made: there may be billions of them.
    """
    if not spec.stages and spec.batch_schedule is None and spec.length_schedule is None:
        size = spec.batch * seq_lens[0]
        return range(0, (spec.num_steps() + 1) * size, size)
    parts = [spec.amended(stage) for stage in spec.stages] or [spec]
    whole, before, sums = spec.num_steps(), 0, [np.zeros(1, np.int64)]
    for part, seq_len in zip(parts, seq_lens, strict=True):
        sums.append(batches(part, before, whole) * lengths(part, seq_len, before, whole))
        before += part.num_steps()
    return np.cumsum(np.concatenate(sums))
