"""Open files and what the compiler says about them; the text of an editor counts, not the one on disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

from attrs import Factory, define, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics
from ...spec.plan import Header
from ...spec.span import Source, Span
from ..diagnostics.once import without_consequences
from ..pipeline import load_program
from ..plan.build import PlanBuilder
from ..resolve.declare import Loader, Module
from ..resolve.world import Program
from ..syntax import tree
from ..syntax.parse import parse_file
from .names import Names
from .pieces import Pieces
from .unchanged import Cancelled, Counts, Look, Unchanged

Stamp = tuple[int, ...] | None
MOST_FILES = 500
"""Files of a folder that are searched for a name."""
MOST_AUTOMATA = 64
"""Automata of protocols that are kept between two checks."""


@frozen
class _Parsed:
    stamp: Stamp
    file: tree.File | None
    found: tuple[Diagnostic, ...]


@frozen(eq=False, slots=False)
class Analysis:
    """What is known about a file.

    Attributes:
        read: the files that it was made from, and their state then. counts: points and runs of the grids at all points
            of which it was looked. program, builder: None where the file cannot be read or the compiler failed.
    """

    path: Path
    read: dict[Path, Stamp]
    diagnostics: tuple[Diagnostic, ...]
    counts: Mapping[str, Counts] = Factory(dict)
    program: Program | None = None
    builder: PlanBuilder | None = None

    @property
    def whole(self) -> bool:
        """Whether every point of every grid was looked at."""
        return self.builder is None or self.builder.grids.keys() <= self.counts.keys()

    @property
    def module(self) -> Module | None:
        """The file itself."""
        return None if self.program is None else self.program.main

    @property
    def source(self) -> Source:
        """The text."""
        return Source(str(self.path), "") if self.program is None else self.program.main.source

    @cached_property
    def names(self) -> Names | None:
        """What every name stands for."""
        return None if self.program is None else Names(self.program)


@define(eq=False)
class Workspace:
    """The open files, and the folders in which others are found."""

    folders: list[Path] = Factory(list)
    buffers: dict[Path, str] = Factory(dict)
    _versions: dict[Path, int] = Factory(dict)
    _parsed: dict[Path, _Parsed] = Factory(dict)
    _known: dict[Path, Analysis] = Factory(dict)
    _spoken: dict[Any, Any] = Factory(dict)
    _pieces: dict[Path, Pieces] = Factory(dict)
    _unchanged: Unchanged = Factory(Unchanged)

    def write(self, path: Path, text: str) -> None:
        """Take the text of a file from an editor."""
        key = path.resolve()
        self.buffers[key] = text
        self._versions[key] = self._versions.get(key, 0) + 1

    def close(self, path: Path) -> None:
        """Take the text of a file from disk again."""
        self.buffers.pop(path.resolve(), None)
        self._pieces.pop(path.resolve(), None)

    def analysis(self, path: Path) -> Analysis:
        """Return what is known about a file as it stands; of grids only some points are looked at."""
        key = path.resolve()
        known = self._known.get(key)
        if known is None or not self.fresh(known):
            known = self._compiled(key, None)
            self._known[key] = known
        return known

    def whole_analysis(self, path: Path, cancelled: Event) -> Analysis:
        """Return what is known when every point of every grid has been looked at. Raises Cancelled."""
        key = path.resolve()
        found = self._compiled(key, cancelled)
        if self.fresh(found):
            self._known[key] = found
        return found

    def fresh(self, analysis: Analysis) -> bool:
        """Whether no file has changed since."""
        return all(self._stamp(path) == stamp for path, stamp in analysis.read.items())

    def files(self) -> list[Path]:
        """Return the open files and those below the folders, at most `MOST_FILES`."""
        found = dict.fromkeys(self.buffers)
        for folder in self.folders:
            for at, folders, names in os.walk(folder):
                folders[:] = sorted(name for name in folders if not name.startswith((".", "node_modules")))
                found.update(dict.fromkeys(Path(at, n).resolve() for n in sorted(names) if n.endswith(".lmspec")))
                if len(found) >= MOST_FILES:
                    return list(found)
        return list(found)

    def names(self, path: Path) -> Names | None:
        """Return what the names of a file stand for, without checking it."""
        key = path.resolve()
        known = self._known.get(key)
        if known is not None and self.fresh(known):
            return known.names
        program = load_program(Loader(Diagnostics(), lambda file, shown, to: self._parse(file, shown, to, {})), key)
        return None if program is None else Names(program)

    def text(self, path: Path) -> str:
        """Return the text of a file; empty if it cannot be read."""
        file = self._parse(path.resolve(), str(path), Diagnostics(), {})
        return "" if file is None else file.span.source.text

    def _compiled(self, path: Path, cancelled: Event | None) -> Analysis:
        """Return what is known of a file: at all points of its grids until `cancelled`, at a few where that is None."""
        read: dict[Path, Stamp] = {}
        found = Diagnostics()
        loader = Loader(found, lambda file, shown, to: self._parse(file, shown, to, read))
        program = None
        try:
            program = load_program(loader, path)
            if program is None:
                return Analysis(path, read, tuple(without_consequences(found.items)))
            if len(self._spoken) > MOST_AUTOMATA:
                self._spoken.clear()
            look = Look(self._unchanged, program, cancelled)
            builder = PlanBuilder(program, spoken=self._spoken, walk=look.points, right=look.right)
            builder.build(Header(path.stem, str(program.root), (), (), ()))
            look.learn(builder)
        except Cancelled:
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("the compiler failed on %s", path)
            place = Span(Source(str(path), ""), 0, 0)
            failure = Diagnostic("", f"internal error of lmc, please report it with this file: {error!r}", place)
            return Analysis(path, read, (*found.items, failure), program=program)
        found.sort([module.source.path for module in loader.modules.values()])
        return Analysis(path, read, tuple(without_consequences(found.items)), look.counts, program, builder)

    def _parse(self, path: Path, shown: str, found: Diagnostics, read: dict[Path, Stamp]) -> tree.File | None:
        key = path.resolve()
        stamp = self._stamp(key)
        read[key] = stamp
        kept = self._parsed.get(key)
        if kept is None or kept.stamp != stamp:
            own = Diagnostics()
            text = self.buffers.get(key)
            if text is None:
                file = parse_file(key, str(key), own)
            else:
                source = Source(str(key), text.removeprefix("\ufeff").replace("\r\n", "\n"))
                file = self._pieces.setdefault(key, Pieces()).parse(source, own)
            kept = self._parsed[key] = _Parsed(stamp, file, tuple(own.items))
        for diagnostic in kept.found:
            found.add(diagnostic)
        return kept.file

    def _stamp(self, path: Path) -> Stamp:
        if path in self.buffers:
            return (self._versions[path],)
        try:
            status = path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size)
