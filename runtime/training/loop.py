"""The loop: steps from the last whole checkpoint to the last step.

Everything that a step depends on is a function of the spec and the step's number, so an interrupted training that
resumes gives the same bits as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

import torch
from attrs import asdict, define

from ..data.prefetch import Prefetch
from ..models.build import build_model
from ..registry import BUILDERS
from ..store.files import append_line, sync
from ..tracking.tracker import Tracker
from . import checkpoint, ema
from .autotune import tuned_stages
from .clock import StepClock
from .execution import apply, honour, resolve, seam
from .job import CHECKPOINTS, EMA, PROFILE, RECORDS, SEAMS, Interrupted, Progress, TrainJob
from .limits import INTERVAL, memory_exceeded, wall_reached
from .memory import forget_peak
from .meter import Meter
from .observer import Watch
from .precision import dtypes, parameters_in
from .remat import rematerialise
from .resume import resume
from .saver import Saver, due
from .step import Stepper
from .trace import traced
from .warm import prepare


def train(job: TrainJob) -> Progress:
    """Train to the last step and return where it ended.

    Raises LmcError: LM0901 at a loss or gradient that is not finite, with step and examples; LM0805 if no checkpoint is
    whole; LM0903 where a checkpoint cannot be written, or too much memory was held. Raises Interrupted after a
    checkpoint when `job.stop()` turns true, or a limit of time is reached; without one if that is before step 1.
    """
    here = resolve(job.spec, job.model, job.placement)
    apply(here if job.execution is None else honour(job.execution, here, job.spec))
    model = build_model(job.model, parameters_in(job.spec.precision, job.placement), job.spec.seed)
    rematerialise(model, job.spec.remat)
    kept = job.execution
    execution = tuned_stages(job, model, here) if kept is None else honour(kept, here, job.spec)
    execution, by = prepare(job, model, execution)
    job.keep(execution)
    optimizer: torch.optim.Optimizer = BUILDERS[type(job.spec.optim)](job.spec.optim, model)
    progress, mean = resume(job, model, optimizer)
    if job.execution is not None and (changed := seam(job.execution, execution)):
        job.warn(f"the machine differs from the one that began this run ({changed}); bits may differ from here")
        append_line(job.folder / SEAMS, {"step": progress.step, "changed": changed})
    device, kinds = job.placement.device, dtypes(job.spec.precision, job.placement)
    clock = StepClock(job.folder / PROFILE, device)
    meter = Meter.start(progress.tokens, device, kinds.compute)
    forget_peak(device)
    stepper = Stepper(job, execution, model, optimizer, progress, kinds, clock, meter, mean, by)
    stepper.enter(progress.step)
    _loop(job, stepper)
    checkpoint.consolidate(model, job.folder, mean)
    return progress


def _loop(job: TrainJob, stepper: Stepper) -> None:
    with open(job.folder / RECORDS, "a", encoding="utf-8") as records:
        tracker = job.track(stepper.progress.step)
        saver = Saver(job.folder / CHECKPOINTS, job.spec, lambda: _sync(job.folder), warn=job.warn)
        try:
            with _ahead(job, stepper):
                Loop(job, stepper, records, saver, tracker).run()
        finally:
            tracker.upto(stepper.progress.step)
            tracker.close()
            saver.join()
        saver.check()


def _sync(folder: Path) -> None:
    """Have the records and the profile on disk."""
    for path in (folder / RECORDS, folder / PROFILE):
        if path.exists():
            sync(path)


@contextmanager
def _ahead(job: TrainJob, stepper: Stepper) -> Iterator[None]:
    """Make micro-batches ahead of their use where the processor would else wait for the device."""
    if job.placement.device.type == "cpu":
        yield
        return
    with Prefetch(stepper.batches, stepper.progress.step, job.spec.num_steps()) as stepper.ahead:
        yield


@define
class Loop:
    """What goes on around the steps: observers, records, checkpoints, leaving.

    Attributes:
        saved: when the last checkpoint was begun, by time.monotonic.
    """

    job: TrainJob
    stepper: Stepper
    records: TextIO
    saver: Saver
    tracker: Tracker
    saved: float = 0.0

    def run(self) -> None:
        """Step to the last step. Raises as `train` does."""
        job, progress, last = self.job, self.stepper.progress, self.job.spec.num_steps()
        watch = Watch(list(job.observers), job.warn)
        self.saved = time.monotonic()
        self.stepper.clock.start(progress.step + 1)
        # A run that ended early and was killed before it was done must not go on.
        ended = progress.step > 0 and job.ends(progress.step)
        while progress.step < last and not ended:
            step = progress.step + 1
            self.saver.check()
            self.stepper.enter(step)
            with self._timed("observers"):
                watch.before(step, last, self.stepper.model)
            with traced(job, job.spec.profile, step):
                rate = self.stepper.step()
            with self._timed("observers"), self._averaged(watch):
                watch.after(step, self.stepper.model)
            ended = job.ends(step)
            recording = step % job.spec.every.log == 0 or step == last or ended
            if recording:
                self._record(rate)
            # What a checkpoint has behind it is written before it: a run that goes on from there has it once.
            self.stepper.clock.end(step)
            leaving = None if step == last or ended else self._leaving(step, recording)
            best = self._best(step)
            if leaving or best or ended or due(job.spec, step, time.monotonic() - self.saved):
                with self._timed("checkpoint"):
                    self._save(step)
            if leaving is not None:
                self.saver.wait()
                raise leaving

    def _leaving(self, step: int, recording: bool) -> Exception | None:
        """Return why the training leaves after a step that is not its last, or None."""
        limits = self.job.spec.limits
        if self.job.stop():
            return Interrupted(step)
        if recording or step % INTERVAL == 0:
            exceeded = memory_exceeded(limits, self.job.placement.device, step)
            if exceeded is not None:
                return exceeded
        limit = wall_reached(limits, self.job.began)
        return Interrupted(step, limit) if limit else None

    def _averaged(self, watch: Watch) -> AbstractContextManager[None]:
        """Let observers look at the running mean of the weights where there is one."""
        mean = self.stepper.mean
        return nullcontext() if mean is None or not watch.due else ema.swapped(self.stepper.model, mean)

    def _record(self, rate: float) -> None:
        """Write a record and report it."""
        self.stepper.verdicts.settle()
        record = self.stepper.meter.record(self.stepper.progress, rate, self.stepper.progress.norm)
        self.records.write(json.dumps(asdict(record)) + "\n")
        self.records.flush()
        self.job.report(record)
        with self._timed("observers"):
            self.tracker.upto(record.step)

    def _best(self, step: int) -> bool:
        """Whether the metric of `keep.best` is better after this step than ever before."""
        score, progress = self.job.score(step), self.stepper.progress
        if score is None or (progress.best is not None and score >= progress.best):
            return False
        progress.best, progress.best_step = score, step
        return True

    def _save(self, step: int) -> None:
        """Copy the state and begin to write it; what is shown elsewhere begins anew behind it."""
        self.stepper.verdicts.settle()
        self.tracker.upto(step)
        progress, mean = self.stepper.progress, self.stepper.mean
        more = {} if mean is None else {EMA: mean}
        taken = checkpoint.snapshot(step, self.stepper.model, self.stepper.optimizer, asdict(progress), **more)
        self.saver.save(taken, progress.best_step)
        self.saved = time.monotonic()

    def _timed(self, part: str) -> _Timed:
        return _Timed(self.stepper.clock, part)


@define
class _Timed:
    """Counts the time inside to a part of the profile."""

    clock: StepClock
    part: str
    began: float = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.clock.spent(self.part, time.perf_counter() - self.began)
