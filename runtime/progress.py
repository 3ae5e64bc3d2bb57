"""Progress for people: bars on a terminal, plain lines when piped.

Takes events of any number of workers; prints each thing once. Decides nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from attrs import Factory, define
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .events import Event

Render = Callable[[dict[str, Any]], str]
PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines of one training."""


class Reporter(Protocol):
    """Where events go."""

    def show(self, event: Event) -> None:
        """Print an event, or not."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def reporter(render: Render) -> Reporter:
    """Return bars if standard output is a terminal, plain lines otherwise; `render` makes text of a failure."""
    if sys.stdout.isatty():
        return BarReporter(render)
    return PlainReporter(render)


def describe(event: Event) -> str:
    """Return the words of an event that is no failure."""
    data = event.data
    if event.kind == "note":
        return str(data["text"])
    if event.kind == "step":
        return f"step {data['step']:,}/{data['steps']:,}  {_rates(data)}{_left(data.get('seconds_left'))}"
    if event.kind == "done":
        return f"{event.what} done in {data['seconds']:.1f} s{_scores(data['summary'])}"
    if event.kind == "blocked":
        return f"{event.what} not run: it needs {data['by']}"
    if event.kind == "waiting":
        return f"{event.what} is being made by {data['holder']}; waiting"
    if event.kind == "interrupted":
        if data.get("limit"):
            why = f"{data['limit']} is reached at step {data['step']:,}"
            return f"{why}; the checkpoint is kept, the same command goes on"
        if data["step"] == 0:
            return "stopped before its first step; run again to begin"
        return f"stopped at step {data['step']:,}; the checkpoint is kept, run again to go on"
    return f"{event.what} started"


def _rates(data: dict[str, Any]) -> str:
    """Return loss, tokens per second, and the share of the machine's matmul rate where that is known."""
    share = data.get("mfu")
    used = "" if share is None else f"  MFU {100 * share:.1f} %"
    return f"loss {data['loss']:.4f}  {data['tokens_per_second']:,.0f} tokens/s{used}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    text = f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours} h"
    return f"  {text} left"


def _scores(summary: dict[str, Any]) -> str:
    metrics = summary.get("metrics", {})
    return "".join(f"  {name} {value:.4g}" for name, value in metrics.items())


@define
class PlainReporter:
    """One line per event; of the steps of a training, and of work that says its share, one every ten seconds."""

    render: Render
    last: dict[str, float] = Factory(dict)

    def show(self, event: Event) -> None:
        """Print the event, and a failure in full on standard error."""
        if event.kind == "waiting" and event.node in self.last:
            return
        if event.kind == "failed":
            print(self.render(event.data), file=sys.stderr, flush=True)
            return
        if event.kind == "start":
            self.last[event.node] = time.monotonic() - PLAIN_INTERVAL
            return
        if event.kind == "step" or event.data.get("share") is not None:
            now = time.monotonic()
            if now - self.last.get(event.node, now - PLAIN_INTERVAL) < PLAIN_INTERVAL:
                return
            self.last[event.node] = now
        print(f"{event.name:<28}  {describe(event)}", flush=True)

    def close(self) -> None:
        """Do nothing."""


@define
class BarReporter:
    """A bar per training or long work that runs, with loss, rate and time left; other events as lines above."""

    render: Render
    console: Console = Factory(Console)
    progress: Progress = Factory(
        lambda self: Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=self.console,
        ),
        takes_self=True,
    )
    tasks: dict[str, TaskID] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.progress.start()

    def show(self, event: Event) -> None:
        """Move a bar or print a line."""
        if event.kind == "step":
            data = event.data
            if event.node not in self.tasks:
                self.tasks[event.node] = self.progress.add_task(event.name, total=data["steps"], detail="")
            self.progress.update(self.tasks[event.node], completed=data["step"], detail=_rates(data))
        elif event.data.get("share") is not None:
            if event.node not in self.tasks:
                self.tasks[event.node] = self.progress.add_task(event.name, total=100, detail="")
            self.progress.update(self.tasks[event.node], completed=100 * event.data["share"], detail=event.data["text"])
        elif event.kind == "failed":
            self._drop(event.node)
            self.console.print(self.render(event.data), markup=False, highlight=False)
        elif event.kind not in ("start", "waiting"):
            if event.kind != "note" or "share" in event.data:
                self._drop(event.node)
            self.console.print(f"{event.name:<28}  {describe(event)}", markup=False, highlight=False)

    def close(self) -> None:
        """Remove the bars."""
        self.progress.stop()

    def _drop(self, node: str) -> None:
        if node in self.tasks:
            self.progress.remove_task(self.tasks.pop(node))
