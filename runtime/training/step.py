"""One optimiser step, and what becomes of one whose loss or gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from attrs import Factory, define
from torch import Tensor

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.records import Execution
from ...spec.train import Train
from ..data.batch import Batch, collate, cropped
from ..data.dataset import Dataset
from ..data.order import Draw, draws, mix
from ..data.prefetch import Prefetch
from ..models.build import replace_positions
from ..models.transformer import TransformerModel
from . import ema
from .clock import StepClock
from .compiled import compiled_loss
from .job import Progress, TrainJob
from .loss import Arithmetic
from .meter import Meter, work_of
from .optimizer import set_learning_rate, update
from .precision import Dtypes, computing, gradient_norm
from .stages import Stage, stage_at, stages_of

UNSETTLED = 16
"""Steps on a GPU whose losses may wait there before they are read."""
SKIPPED_IN_A_ROW = 100
"""Steps without an update after which `non_finite = "skip"` is given up."""


@define
class Verdicts:
    """Losses and norms that have not been read from the device yet, and what reading them decides.

    Attributes:
        examples: first and last example of a step, for messages.
        waiting: per step: its number, loss and gradient norm, scalars on the device.
    """

    spec: Train
    progress: Progress
    examples: Callable[[int], tuple[int, int]] = Factory(
        lambda self: lambda step: ((step - 1) * self.spec.batch, step * self.spec.batch - 1), takes_self=True
    )
    waiting: list[tuple[int, Tensor, Tensor]] = Factory(list)

    def settle(self) -> None:
        """Read what waits. Raises LmcError (LM0901) for a step that is not finite, unless the spec skips it."""
        if not self.waiting:
            return
        values = torch.stack([value.double() for _, *pair in self.waiting for value in pair]).tolist()
        steps, progress = [step for step, _, _ in self.waiting], self.progress
        self.waiting.clear()
        for step, loss, norm in zip(steps, values[::2], values[1::2], strict=True):
            if math.isfinite(loss) and math.isfinite(norm):
                progress.loss, progress.norm, progress.in_a_row = loss, norm, 0
                continue
            progress.in_a_row += 1
            progress.skipped += 1
            if self.spec.non_finite == "stop" or progress.in_a_row >= SKIPPED_IN_A_ROW:
                raise not_finite(self.spec, step, self.examples(step), loss, norm)


@define
class Stepper:
    """Does steps: micro-batches forward and backward, clipping, update.

    Attributes:
        mean: the running mean of the weights, or None without.
        updates: how many steps it is of, float64[] on the device; used where a skipped step is known only there.
        by: the compiled arithmetic; None: nothing is compiled.
        stages: what the steps are, in order.
        ahead: micro-batches of the next steps in order, made ahead of their use; None: made when they are needed.
    """

    job: TrainJob
    execution: Execution
    model: TransformerModel
    optimizer: torch.optim.Optimizer
    progress: Progress
    kinds: Dtypes
    clock: StepClock
    meter: Meter
    mean: ema.Mean | None = None
    by: Arithmetic | None = None
    ahead: Prefetch[list[Batch]] | None = None
    stages: tuple[Stage, ...] = Factory(lambda self: stages_of(self.job), takes_self=True)
    verdicts: Verdicts = Factory(lambda self: Verdicts(self.job.spec, self.progress, self.examples_of), takes_self=True)
    updates: Tensor = Factory(
        lambda self: torch.tensor(float(self.progress.updates), dtype=torch.float64, device=self.job.placement.device),
        takes_self=True,
    )

    def batches(self, done: int) -> list[Batch]:
        """Return the micro-batches of the step after `done` steps."""
        number = stage_at(self.job.spec, done + 1)
        stage = self.stages[number]
        sizes = self.execution.staged or (self.execution.micro_batch,)
        step, placement = done + 1, self.job.placement
        return read_batches(
            stage.dataset,
            stage.spec,
            stage.place(step),
            stage.batch(step),
            sizes[number] or None,
            length=stage.length(step),
            rank=placement.rank,
            ranks=placement.ranks,
        )

    def examples_of(self, step: int) -> tuple[int, int]:
        """Return the positions in its data of the first and the last example of a step."""
        stage = self.stages[stage_at(self.job.spec, step)]
        return stage.place(step), stage.place(step) + stage.batch(step) - 1

    def enter(self, step: int) -> None:
        """Give the model the positions of the stage of a step."""
        replace_positions(self.model, self.stages[stage_at(self.job.spec, step)].model)

    def step(self) -> float:
        """Do one optimiser step and return its learning rate. Raises LmcError (LM0901) as `Verdicts.settle` does."""
        spec, step = self.job.spec, self.progress.step + 1
        self.clock.begin(step)
        batches = self.batches(self.progress.step) if self.ahead is None else next(self.ahead)
        self.clock.mark("data")
        loss = self._gradients(batches, step)
        norm = gradient_norm(self.model)
        self.verdicts.waiting.append((step, loss, norm))
        if self.job.placement.device.type == "cpu" or len(self.verdicts.waiting) >= UNSETTLED:
            self.verdicts.settle()
        rate = self.stages[stage_at(spec, step)].rate(step)
        set_learning_rate(self.optimizer, rate)
        finite = loss.isfinite() & norm.isfinite()
        update(self.optimizer, finite, norm, spec.optim.clip)
        self.optimizer.zero_grad(set_to_none=True)
        self._average(finite)
        self.clock.mark("optimizer")
        self._count(batches, step)
        return rate

    def _average(self, finite: Tensor) -> None:
        """Take the weights into their running mean unless the step is skipped."""
        spec, progress = self.job.spec, self.progress
        if self.mean is None or spec.ema is None:
            return
        if spec.non_finite == "stop":
            ema.update(self.mean, self.model, spec.ema, progress.step + 1)
        elif self.job.placement.device.type != "cpu":
            ema.update_if(finite, self.mean, self.model, spec.ema, self.updates)
        elif finite:
            ema.update(self.mean, self.model, spec.ema, progress.updates + 1)

    def _gradients(self, batches: list[Batch], step: int) -> Tensor:
        """Leave the gradients of the step in the parameters and return its loss, a scalar on the device."""
        placement, seed = self.job.placement, self.job.spec.seed
        loss = torch.zeros((), dtype=placement.dtype, device=placement.device)
        with computing(self.model, self.kinds) as total:
            for number, batch in enumerate(batches):
                torch.manual_seed(micro_seed(seed, step, number, placement.rank))
                placed = batch.to(placement)
                self.clock.mark("data")
                part = self._loss(placed)
                self.clock.mark("forward")
                part.backward()  # type: ignore[no-untyped-call]
                total.add()
                loss += part.detach()
                self.clock.mark("backward")
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        return compiled_loss(self.model, batch, self.job.spec.loss, self.by)

    def _count(self, batches: list[Batch], step: int) -> None:
        work = work_of(self.model.spec, batches)
        self.progress.step = step
        self.progress.tokens += work.tokens
        self.progress.loss_tokens += work.loss_tokens
        self.meter.flops += work.flops


def step_batches(
    dataset: Dataset, spec: Train, done: int, micro_batch: int | None, *, rank: int = 0, ranks: int = 1
) -> list[Batch]:
    """Return the micro-batches of the step after `done` steps of `spec.batch` examples; see `read_batches`."""
    return read_batches(dataset, spec, done * spec.batch, spec.batch, micro_batch, rank=rank, ranks=ranks)


def read_batches(
    dataset: Dataset,
    spec: Train,
    place: int,
    count: int,
    micro_batch: int | None,
    *,
    length: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> list[Batch]:
    """Return the micro-batches of a step of `count` examples from position `place` of the data.

    The run's seed keys the order with the data's. Of each example `length` tokens are read if given. Of several ranks
    each reads its own examples, of the others only how many positions they train: the sum of all ranks' losses, or
    gradients, is that of the step. Raises ValueError if a rank would have no example.
    """
    if ranks > count:
        raise ValueError(f"a step of {count} examples cannot be shared by {ranks} ranks")
    seed = mix(mix(dataset.seed) ^ mix(spec.seed + 1))

    def chosen(rank: int) -> Iterator[Draw]:
        return draws(dataset.order, seed, place, count, dataset.size("train"), rank=rank, ranks=ranks)

    others = [dataset.trained("train", draw) for other in range(ranks) if other != rank for draw in chosen(other)]
    # A length is given for texts alone, of which every position is trained.
    elsewhere = sum(others if length is None else (min(trained, length) for trained in others))
    examples = [cropped(dataset.example("train", draw), length) for draw in chosen(rank)]
    return collate(examples, micro_batch, elsewhere)


def micro_seed(seed: int, step: int, number: int, rank: int) -> int:
    """Return what torch is seeded with before micro-batch `number` of a step; ranks differ."""
    return mix(mix(seed) ^ mix(rank << 48 | step << 16 | number)) >> 1


def not_finite(spec: Train, step: int, examples: tuple[int, int], loss: float, norm: float) -> LmcError:
    """Return the error of a step whose loss or gradient norm is not finite, with its first and last example."""
    first, last = examples
    message = f"loss {loss} and gradient norm {norm} at step {step}, examples {first:,} to {last:,}"
    if spec.non_finite == "skip":
        message += f"; the {SKIPPED_IN_A_ROW} steps up to it had no update"
    return LmcError(Diagnostic("LM0901", message, None, help="lower `optim.lr`, or set `optim.clip`"))
