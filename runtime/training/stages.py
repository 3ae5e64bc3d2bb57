"""Stages: which data, positions, batch and learning rate a step has, a pure function of its number.

A train without stages is one stage.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from attrs import frozen

from ...spec.model import Transformer
from ...spec.train import Train
from ..data.dataset import Dataset
from .job import TrainJob
from .schedule import learning_rate


@frozen(eq=False)
class Stage:
    """Consecutive steps of a training.

    Attributes:
        spec: the train as it is over these steps, as if they were all.
        dataset: what it draws from. model: the architecture, with the positions of these steps.
        before: steps of the stages before it. first: position in the data of its first example.
        peak: of the learning rate. within: whether its schedule counts its own steps, else those of the whole training.
        whole: steps of all stages.
    """

    spec: Train
    dataset: Dataset
    model: Transformer
    before: int
    first: int
    within: bool
    whole: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a 1-based step of the training."""
        spec = self.spec
        if self.within:
            return learning_rate(spec.schedule, spec.optim.lr, step - self.before, spec.num_steps())
        return learning_rate(spec.schedule, spec.optim.lr, step, self.whole)


def stages_of(job: TrainJob) -> tuple[Stage, ...]:
    """Return the stages of a training in order; the whole as one if it has none.

    Stages of one block of data go on in it by passes: those that have been made are examples drawn over the size. So
    nothing is drawn twice in a pass where sizes are the same, and where they differ the share of a pass carries over,
    rounded up to an example.
    """
    spec, whole = job.spec, job.spec.num_steps()
    if not spec.stages:
        return (Stage(spec, job.dataset, job.model, 0, 0, False, whole),)
    passes: dict[int, Fraction] = {}
    found: list[Stage] = []
    before = 0
    for told, (dataset, model) in zip(spec.stages, job.staged, strict=True):
        size = dataset.size("train")
        first = ceil(passes.get(told.block, Fraction(0)) * size)
        passes[told.block] = Fraction(first + told.steps * told.batch, size)
        within = told.schedule is not None
        found.append(Stage(spec.amended(told), dataset, model, before, first, within, whole))
        before += int(told.steps)
    return tuple(found)


def stage_at(spec: Train, step: int) -> int:
    """Return the number of the stage that a step belongs to; what is before all steps belongs to the first."""
    end = 0
    for number, stage in enumerate(spec.stages):
        end += int(stage.steps)
        if step <= end:
            return number
    return max(0, len(spec.stages) - 1)


def seen(spec: Train, step: int) -> float:
    """Return what has been done after a step in a unit that takes about the same time over all stages."""
    if not spec.stages:
        return step
    done = 0.0
    for stage in spec.stages:
        inside = min(step, int(stage.steps))
        done += inside * stage.tokens / stage.steps
        step -= inside
    return done
