"""Stages: which data, positions, batch and learning rate a step has, a pure function of its number.

A train without stages is one stage.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import ceil

from attrs import frozen

from ...spec.model import Transformer
from ...spec.train import Train
from ..data.dataset import Dataset
from .job import TrainJob
from .schedule import value_at
from .sizes import Sizes, batches, lengths


@frozen(eq=False)
class Stage:
    """Consecutive steps of a training.

    Attributes:
        spec: the train as it is over these steps, as if they were all.
        dataset: what it draws from. model: the architecture, with the positions of these steps.
        before: steps of the stages before it. behind: the last of them that reads the same block of data.
        peak: of the learning rate. within: whether its schedule counts its own steps, else those of the whole training.
        whole: steps of all stages. seq_len: tokens of an example without a schedule of its length.
    """

    spec: Train
    dataset: Dataset
    model: Transformer
    before: int
    behind: Stage | None
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
        return self.spec.batch if self._batches is None else self._batches.of(step - self.before - 1)

    def place(self, step: int) -> int:
        """Return the position in the data of the first example of a step, or of what follows the stage's last."""
        done = step - self.before - 1
        return self.first + (done * self.spec.batch if self._batches is None else self._batches.before(done))

    def length(self, step: int) -> int | None:
        """Return how many tokens are read of the examples of a step, besides the one that follows; None: all."""
        return None if self._lengths is None else self._lengths.of(step - self.before - 1)

    @cached_property
    def first(self) -> int:
        """Position in the data of the first example.

        Stages of one block of data go on in it by passes: those that have been made are examples drawn over the size.
        So nothing is drawn twice in a pass where sizes are the same, and where they differ the share of a pass carries
        over, rounded up to an example.
        """
        if self.behind is None:
            return 0
        passes = Fraction(self.behind.place(self.behind.last + 1), self.behind.dataset.size("train"))
        return ceil(passes * self.dataset.size("train"))

    @property
    def last(self) -> int:
        """The last of these steps in the training."""
        return self.before + self.spec.num_steps()

    @cached_property
    def _batches(self) -> Sizes | None:
        return batches(self.spec, self.before, self.whole)

    @cached_property
    def _lengths(self) -> Sizes | None:
        return lengths(self.spec, self.seq_len, self.before, self.whole)


def stages_of(job: TrainJob) -> tuple[Stage, ...]:
    """Return the stages of a training in order; the whole as one if it has none."""
    spec, whole = job.spec, job.spec.num_steps()
    if not spec.stages:
        return (Stage(spec, job.dataset, job.model, 0, None, False, whole, job.seq_lens[0]),)
    newest: dict[int, Stage] = {}
    found: list[Stage] = []
    for told, (dataset, model), seq_len in zip(spec.stages, job.staged, job.seq_lens, strict=True):
        before, within = found[-1].last if found else 0, told.schedule is not None
        stage = Stage(spec.amended(told), dataset, model, before, newest.get(told.block), within, whole, seq_len)
        newest[told.block] = stage
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
