"""The light profile: every so many steps one step is timed part by part, and a line of `profile.jsonl` written.

Marks cost a reading of the clock; on a GPU the timed step alone waits for the device at each mark.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from attrs import Factory, asdict, define

from ...spec.records import ProfileRecord
from ..store.files import append_line
from .memory import peak_memory

INTERVAL = 100
"""Steps between timed steps."""
FIRST = 10
"""The first timed step: what is done once is over by then."""


@define
class StepClock:
    """Times parts of steps.

    Attributes:
        timed: whether the present step is timed. parts: seconds of its parts.
        rare: seconds since the last line that went into checkpoints and observers.
    """

    path: Path
    device: torch.device
    timed: bool = False
    at: float = 0.0
    parts: dict[str, float] = Factory(dict)
    rare: dict[str, float] = Factory(lambda: {"checkpoint": 0.0, "observers": 0.0})
    since: tuple[int, float] = (0, 0.0)

    def start(self, step: int) -> None:
        """Begin with 1-based `step`."""
        self.since = (step - 1, time.perf_counter())

    def begin(self, step: int) -> None:
        """Begin the data part of 1-based `step`."""
        self.timed = step % INTERVAL == FIRST
        if self.timed:
            self.parts = {"data": 0.0, "forward": 0.0, "backward": 0.0, "optimizer": 0.0}
            self.at = self._now()

    def mark(self, part: str) -> None:
        """Count the time since the last mark to a part of the step."""
        if self.timed:
            now = self._now()
            self.parts[part] += now - self.at
            self.at = now

    def spent(self, part: str, seconds: float) -> None:
        """Count time outside of steps."""
        self.rare[part] += seconds

    def end(self, step: int) -> None:
        """Write the line of a timed step."""
        if not self.timed:
            return
        first, began = self.since
        now = time.perf_counter()
        steps = max(1, step - first)
        record = ProfileRecord(
            step=step,
            steps=steps,
            seconds=(now - began) / steps,
            memory=peak_memory(self.device),
            **self.parts,
            **{name: seconds / steps for name, seconds in self.rare.items()},
        )
        append_line(self.path, asdict(record))
        self.since, self.timed = (step, now), False
        self.rare = dict.fromkeys(self.rare, 0.0)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
