"""Diagnostics while one types: soon after the last change what a few points of a grid show, then what all show."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from attrs import Factory, define

from ...spec.diagnostic import Diagnostic
from .unchanged import Cancelled
from .workspace import Analysis, Workspace

SOON = 0.005
"""Seconds that changes are waited for which came in one go."""
LATER = 0.4
"""Seconds without a change after which all points of grids are looked at."""
MOST_NEW = 100_000
"""Objects that may be new before Python looks for garbage by itself; a check makes some ten thousand."""


@define(eq=False)
class Publisher:
    """Sends what is wrong with the open files and what they import, each file once it has changed.

    `send` takes a path and all that is wrong in that file; `counted` is called when all points have been looked at.
    """

    workspace: Workspace
    send: Callable[[Path, Sequence[Diagnostic]], None]
    counted: Callable[[], None]
    roots: list[Path] = Factory(list)
    _found: dict[Path, dict[Path, tuple[Diagnostic, ...]]] = Factory(dict)
    _sent: dict[Path, list[Diagnostic]] = Factory(dict)
    _timer: asyncio.TimerHandle | None = None
    _task: asyncio.Task[None] | None = None
    _cancelled: Event = Factory(Event)
    _tidied: bool = False

    def changed(self) -> None:
        """Check again soon."""
        self._cancelled.set()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON, self._check)

    def _check(self) -> None:
        self._timer = None
        for path in list(self.roots):
            self._take(self.workspace.analysis(path))
        self._drop_closed()
        if self._task is not None:
            self._task.cancel()
        self._cancelled = Event()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._check_whole(self._cancelled))
        loop.call_soon(self._tidy)

    def _tidy(self) -> None:
        """Free what the check before has left: between two changes, not while diagnostics are waited for."""
        gc.collect()
        if not self._tidied:
            gc.freeze()  # libraries, schema and parse tables stay: they are not looked at again
            gc.set_threshold(MOST_NEW)
            self._tidied = True

    async def _check_whole(self, cancelled: Event) -> None:
        await asyncio.sleep(LATER)
        for path in list(self.roots):
            if not self.workspace.analysis(path).whole:
                try:
                    found = await asyncio.to_thread(self.workspace.whole_analysis, path, cancelled)
                except Cancelled:
                    return
                if not cancelled.is_set():
                    self._take(found)
                    self.counted()

    def _take(self, analysis: Analysis) -> None:
        by_file: dict[Path, list[Diagnostic]] = {path: [] for path in analysis.read}
        for diagnostic in analysis.diagnostics:
            if diagnostic.span is not None:
                by_file.setdefault(Path(diagnostic.span.source.path), []).append(diagnostic)
        before = self._found.get(analysis.path, {})
        self._found[analysis.path] = {path: tuple(found) for path, found in by_file.items()}
        for path in dict.fromkeys((*by_file, *before)):
            self._send(path)

    def _drop_closed(self) -> None:
        for root in [root for root in self._found if root not in self.roots]:
            for path in self._found.pop(root):
                self._send(path)

    def _send(self, path: Path) -> None:
        """Send what all open files found in one file, if that has changed."""
        said: dict[tuple[object, ...], Diagnostic] = {}
        for found in self._found.values():
            for diagnostic in found.get(path, ()):
                assert diagnostic.span is not None
                said.setdefault((diagnostic.code, diagnostic.span.start, diagnostic.message), diagnostic)
        ordered = sorted(said.values(), key=lambda d: (d.span.start, d.code) if d.span else (0, ""))
        if self._sent.get(path, []) != ordered or path not in self._sent:
            self._sent[path] = ordered
            self.send(path, ordered)
