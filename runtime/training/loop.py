"""The loop: steps from the last whole checkpoint to the last step.

Everything that a step depends on is a function of the spec and the step's number, so an interrupted training that
resumes gives the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import asdict, define, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Transformer
from ...spec.records import Execution, TrainRecord
from ...spec.train import Train
from ..data.batch import Batch, collate
from ..data.dataset import Dataset
from ..data.order import draws, mix
from ..models.build import build_model
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..registry import BUILDERS
from ..store.files import append_line
from . import checkpoint
from .execution import apply, honour, resolve, seam
from .loss import batch_loss
from .observer import Observer, Watch
from .optimizer import clip, gradient_norm
from .schedule import learning_rate

RECORDS = "records.jsonl"
SEAMS = "seams.jsonl"
"""Where a resumed training was not the same machine: step and what changed."""
CHECKPOINTS = "checkpoints"
CHECKPOINT_SECONDS = 300.0
"""Time between checkpoints where the spec sets no steps."""


class Interrupted(Exception):
    """The training stopped because it was asked to; its checkpoint is kept."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


@frozen(kw_only=True)
class TrainJob:
    """What a training needs.

    Attributes:
        folder: where records and checkpoints go; a job with the same folder resumes.
        execution: the record of an earlier start, or None at the first; `keep` receives the resolved one.
        start: given the model of drawn weights before the first step, but not where the training resumes.
        stop: asked after every step. report: receives records. warn: receives sentences.
    """

    spec: Train
    model: Transformer
    dataset: Dataset
    placement: Placement
    folder: Path
    observers: Sequence[Observer] = ()
    execution: Execution | None = None
    keep: Callable[[Execution], None] = lambda execution: None
    start: Callable[[TransformerModel], None] = lambda model: None
    stop: Callable[[], bool] = lambda: False
    report: Callable[[TrainRecord], None] = lambda record: None
    warn: Callable[[str], None] = lambda text: None


@define
class Progress:
    """What accumulates over steps and goes into checkpoints."""

    step: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    loss: float = math.nan


def train(job: TrainJob) -> Progress:
    """Train to the last step and return where it ended.

    Raises LmcError: LM0901 at a loss or gradient that is not finite, with step and examples; LM0805 if no checkpoint is
    whole. Raises Interrupted after a checkpoint when `job.stop()` turns true.
    """
    here = resolve(job.spec, job.model, job.placement)
    execution = here if job.execution is None else honour(job.execution, here)
    job.keep(execution)
    apply(execution)
    model = build_model(job.model, job.placement, job.spec.seed)
    optimizer: torch.optim.Optimizer = BUILDERS[type(job.spec.optim)](job.spec.optim, model)
    progress = _resume(job, model, optimizer)
    if job.execution is not None and (changed := seam(job.execution, here)):
        job.warn(f"the machine differs from the one that began this run ({changed}); bits may differ from here")
        append_line(job.folder / SEAMS, {"step": progress.step, "changed": changed})
    _loop(job, execution, model, optimizer, progress)
    checkpoint.consolidate(model, job.folder)
    return progress


def load_model(folder: Path, spec: Transformer, placement: Placement) -> TransformerModel:
    """Return the model at the last checkpoint of a training's folder.

    Raises LmcError (LM0805) without one or if it is damaged: older weights are not what was asked for.
    """
    steps = checkpoint.kept_steps(folder / CHECKPOINTS)
    if not steps:
        raise LmcError(Diagnostic("LM0805", f"`{folder}` has no checkpoint", None, help="train first"))
    path = folder / CHECKPOINTS / f"step-{max(steps)}"
    if problem := checkpoint.damage(path):
        message = f"checkpoint `{path}` is damaged ({problem})"
        help = f"remove `{folder}` to train again from the start"
        raise LmcError(Diagnostic("LM0805", message, None, help=help))
    model = build_model(spec, placement, None)
    checkpoint.load(path, model, None)
    return model.eval()


def _resume(job: TrainJob, model: TransformerModel, optimizer: torch.optim.Optimizer) -> Progress:
    checkpoint.clear_partial(job.folder / CHECKPOINTS)
    step = checkpoint.latest(job.folder / CHECKPOINTS, job.warn)
    if step is None:
        cut_records(job.folder / RECORDS, 0)
        job.start(model)
        return Progress()
    extra = checkpoint.load(job.folder / CHECKPOINTS / f"step-{step}", model, optimizer)
    cut_records(job.folder / RECORDS, step)
    return Progress(**extra)


def cut_records(path: Path, step: int) -> None:
    """Drop the records after `step`, and a last line that was not written whole."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] > step:
            break
        kept.append(line + "\n")
    partial = path.with_suffix(".tmp")
    partial.write_text("".join(kept))
    os.replace(partial, path)


def _loop(
    job: TrainJob,
    execution: Execution,
    model: TransformerModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    last = int(job.spec.steps)
    began = saved = time.monotonic()
    meter = Meter(began, progress.tokens)
    watch = Watch(list(job.observers), job.warn)
    with open(job.folder / RECORDS, "a", encoding="utf-8") as records:
        while progress.step < last:
            step = progress.step + 1
            watch.before(step, last, model)
            rate, norm = _step(job, execution, model, optimizer, progress)
            watch.after(step, model)
            if step % job.spec.every.log == 0 or step == last:
                record = meter.record(progress, rate, norm)
                records.write(json.dumps(asdict(record)) + "\n")
                records.flush()
                job.report(record)
            stopping = job.stop()
            interval = job.spec.every.checkpoint
            timed = interval is None and time.monotonic() - saved > CHECKPOINT_SECONDS
            if stopping or step == last or timed or (interval is not None and step % interval == 0):
                os.fsync(records.fileno())
                checkpoint.save(job.folder / CHECKPOINTS, step, model, optimizer, asdict_progress(progress))
                _drop_old(job, step)
                saved = time.monotonic()
            if stopping and step < last:
                raise Interrupted(step)


def asdict_progress(progress: Progress) -> dict[str, Any]:
    """Return what a checkpoint keeps beside weights and moments."""
    return {
        "step": progress.step,
        "tokens": progress.tokens,
        "loss_tokens": progress.loss_tokens,
        "loss": progress.loss,
    }


def _drop_old(job: TrainJob, step: int) -> None:
    """Keep what `every.checkpoint` asks for, the newest and the one before it."""
    interval = job.spec.every.checkpoint
    folder = job.folder / CHECKPOINTS
    loose = [s for s in checkpoint.kept_steps(folder) if s < step and (interval is None or s % interval)]
    for old in sorted(loose)[:-1]:
        for path in sorted((folder / f"step-{old}").iterdir()):
            path.unlink()
        (folder / f"step-{old}").rmdir()


def _step(
    job: TrainJob,
    execution: Execution,
    model: TransformerModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> tuple[float, float]:
    """Do one optimiser step; return its learning rate and the gradient's norm before clipping."""
    spec, step = job.spec, progress.step + 1
    batches = step_batches(job.dataset, spec, progress.step, execution.micro_batch or None)
    loss = torch.zeros((), dtype=job.placement.dtype, device=job.placement.device)
    for number, batch in enumerate(batches):
        torch.manual_seed(mix(mix(spec.seed) ^ mix(step << 16 | number)) >> 1)
        part = batch_loss(model, batch.to(job.placement))
        part.backward()  # type: ignore[no-untyped-call]
        loss += part.detach()
    norm = gradient_norm(model.parameters())
    value, size = float(loss), float(norm)
    if not (math.isfinite(value) and math.isfinite(size)):
        raise _not_finite(spec, step, value, size)
    if spec.optim.clip is not None:
        clip(model.parameters(), norm, spec.optim.clip)
    rate = learning_rate(spec.schedule, spec.optim.lr, step, int(spec.steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    progress.step = step
    progress.loss = value
    progress.tokens += sum(int(batch.layout.lengths.sum()) for batch in batches)
    progress.loss_tokens += int(batches[0].n_loss)
    return rate, size


def step_batches(dataset: Dataset, spec: Train, done: int, micro_batch: int | None) -> list[Batch]:
    """Return the micro-batches of the step after `done` steps; the run's seed keys the order with the data's."""
    seed = mix(mix(dataset.seed) ^ mix(spec.seed + 1))
    chosen = draws(dataset.order, seed, done * spec.batch, spec.batch, dataset.size("train"))
    return collate([dataset.example("train", draw) for draw in chosen], micro_batch)


def _not_finite(spec: Train, step: int, loss: float, norm: float) -> LmcError:
    first = (step - 1) * spec.batch
    message = f"loss {loss} and gradient norm {norm} at step {step}, examples {first:,} to {first + spec.batch - 1:,}"
    return LmcError(Diagnostic("LM0901", message, None, help="lower `optim.lr`, or set `optim.clip`"))


@define
class Meter:
    """Turns progress into records with times and rates."""

    began: float
    tokens: int
    at: float = 0.0

    def record(self, progress: Progress, rate: float, norm: float) -> TrainRecord:
        """Return the record of the present step."""
        now = time.monotonic()
        speed = (progress.tokens - self.tokens) / max(1e-9, now - (self.at or self.began))
        self.tokens, self.at = progress.tokens, now
        return TrainRecord(
            step=progress.step,
            loss=progress.loss,
            lr=rate,
            grad_norm=norm,
            tokens=progress.tokens,
            loss_tokens=progress.loss_tokens,
            seconds=now - self.began,
            tokens_per_second=speed,
        )
