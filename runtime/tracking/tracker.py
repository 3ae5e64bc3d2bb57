"""A tracker: passes what a run's files say to a writer, and never harms the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define

from .sources import Scalars, Tail


class Writer(Protocol):
    """Where numbers go."""

    def write(self, step: int, values: Scalars) -> None:
        """Take numbers of a step; steps never fall. What it has from an earlier process is not written again."""

    def flush(self) -> None:
        """Have what was taken on disk, as far as the library can."""

    def close(self) -> None:
        """End."""


@define
class Tracker:
    """Passes new lines of files on, in the order of their steps.

    Attributes:
        open: makes the writer when the first number comes. warn: receives a sentence if the writer fails; it is let go
            then, and the training goes on.
    """

    tails: Sequence[Tail]
    open: Callable[[], Writer | None]
    warn: Callable[[str], None]
    writer: Writer | None = None
    gone: bool = False

    def upto(self, step: int) -> None:
        """Pass on what the files say of steps up to `step`."""
        if not self.gone:
            self._guarded(lambda: self._pass(step))

    def close(self) -> None:
        """End the writer."""
        if self.writer is not None and not self.gone:
            self._guarded(self.writer.close)
        self.gone = True

    def _pass(self, step: int) -> None:
        lines = sorted((line for tail in self.tails for line in tail.upto(step)), key=lambda line: line[0])
        if not lines:
            return
        self.writer = self.writer or self.open()
        if self.writer is None:
            self.gone = True
            return
        for at, values in lines:
            self.writer.write(at, values)
        self.writer.flush()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.gone = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.warn(f"tracking failed and is left out from here, the run is not harmed: {reason}")


def untracked(step: int) -> Tracker:
    """Return a tracker that does nothing."""
    return Tracker((), lambda: None, lambda text: None, gone=True)
