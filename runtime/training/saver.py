"""Saving in the background: one checkpoint in flight, and those that are no longer wanted removed behind it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import Factory, define

from ...spec.evaluation import SMALLER_IS_BETTER
from ...spec.train import Train
from . import checkpoint
from .checkpoint import Snapshot

SECONDS = 300.0
"""Time between checkpoints where the spec sets no steps."""
NEWEST = 2
"""Checkpoints that stay where the spec does not say how many."""


def due(spec: Train, step: int, seconds: float) -> bool:
    """Whether a checkpoint is made at `step`, the last one being `seconds` old."""
    intervals = [interval for interval in (spec.every.checkpoint, spec.keep.every) if interval]
    timed = spec.every.checkpoint is None and seconds > SECONDS
    return step == spec.steps or timed or any(step % interval == 0 for interval in intervals)


def kept(spec: Train, steps: Iterable[int], best: int) -> set[int]:
    """Return which of the whole checkpoints `steps` stay; `best` is the step of the best one, 0 without."""
    found = sorted(steps)
    keep = spec.keep
    forever = spec.every.checkpoint if keep.last is None and keep.every is None else keep.every
    wanted = {step for step in found if forever and step % forever == 0}
    return wanted | set(found[-(keep.last or NEWEST) :]) | ({best} & set(found))


def signed(metric: str, value: float) -> float:
    """Return a metric so that smaller is better; infinity for NaN."""
    if math.isnan(value):
        return math.inf
    return value if metric in SMALLER_IS_BETTER else -value


@define
class Saver:
    """Writes snapshots to `folder` in a thread of its own.

    Attributes:
        before: called in the thread before a checkpoint is written: what it refers to must be on disk first.
        warn: receives sentences, from `check`.
        kept_back: sentences of the thread that `check` has yet to pass on.
        stuck: steps of checkpoints that could not be removed, which are told once.
    """

    folder: Path
    spec: Train
    before: Callable[[], None] = lambda: None
    thread: threading.Thread | None = None
    failures: list[Exception] = Factory(list)
    warn: Callable[[str], None] = lambda text: None
    kept_back: list[str] = Factory(list)
    stuck: set[int] = Factory(set)

    def save(self, taken: Snapshot, best: int) -> None:
        """Begin to write a snapshot, after the one in flight. Raises what went wrong with that one."""
        self.wait()
        self.thread = threading.Thread(target=self._work, args=(taken, best), name="checkpoint")
        self.thread.start()

    def check(self) -> None:
        """Pass on warnings; raise what went wrong in the background: LmcError (LM0903) for a failed write."""
        while self.kept_back:
            self.warn(self.kept_back.pop(0))
        if self.failures:
            raise self.failures.pop()

    def wait(self) -> None:
        """Wait for the checkpoint in flight. Raises as `check` does."""
        self.join()
        self.check()

    def join(self) -> None:
        """Wait for the checkpoint in flight, whatever becomes of it."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def _work(self, taken: Snapshot, best: int) -> None:
        try:
            self.before()
            checkpoint.write(self.folder, taken)
            found = {step for step in checkpoint.kept_steps(self.folder) if step <= taken.step}
            for step in sorted(found - kept(self.spec, found, best)):
                self._remove(step)
        except Exception as error:
            self.failures.append(error)

    def _remove(self, step: int) -> None:
        try:
            checkpoint.remove(self.folder, step)
        except OSError as error:
            if step not in self.stuck:
                self.stuck.add(step)
                self.kept_back.append(f"checkpoint {self.folder / f'step-{step}'} cannot be removed: {error}")
