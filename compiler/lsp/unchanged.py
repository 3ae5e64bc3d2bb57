"""Which grids and overlays need not be looked at again: those that were right, and of whose texts nothing has changed.

What a block depends on is read off the words of the file: the blocks that it names, those that they name, and so on;
the evaluations, probes and plots that are of its runs; all other files, and what they are called here. That is more
than it depends on, never less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from threading import Event
from typing import Any, NamedTuple

from attrs import Factory, define

from ...spec.diagnostic import Diagnostic
from ...spec.span import Span
from ..plan.build import PlanBuilder
from ..resolve.declare import Decl, Module
from ..resolve.grids import Grid
from ..resolve.samples import few_points
from ..resolve.world import Program

WORD = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b(?![ \t]*\+?=(?!=))")
"""A word that may name a block: none that is set, as `base` in `base = small`."""
MOST_KEPT = 1000

Texts = frozenset[tuple[str, str]]


class Cancelled(Exception):
    """A check was given up because the text has changed."""


class Counts(NamedTuple):
    """How many points of a grid stay, and how many runs they are."""

    points: int
    runs: int


@lru_cache(maxsize=MOST_KEPT)
def _words(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text))


@define(eq=False)
class Unchanged:
    """Remembers grids and overlays that were right, by all texts that they depend on."""

    _right: set[Texts] = Factory(set)
    _counts: dict[Texts, Counts] = Factory(dict)

    def holds(self, program: Program, decl: Decl) -> bool:
        """Whether a block was right when all that it depends on was as it is."""
        return depended_on(program, decl)[0] in self._right

    def counts(self, program: Program, grid: Decl) -> Counts | None:
        """Return how many points and runs a grid has, if it was right at all of them as it is."""
        return self._counts.get(depended_on(program, grid)[0])

    def learn(
        self, program: Program, decls: Iterable[Decl], found: Sequence[Diagnostic], counts: Mapping[str, Counts]
    ) -> None:
        """Remember those blocks which none of the mistakes that were found may concern; `counts` by grid."""
        if len(self._right) > MOST_KEPT:
            self._right.clear()
            self._counts.clear()
        spans = [span for diagnostic in found for span in _places(diagnostic)]
        main = program.main.source.path
        if any(span is None or span.source.path != main for span in spans):
            return
        for decl in decls:
            texts, places = depended_on(program, decl)
            if not any(_meet(span, place) for span in spans if span is not None for place in places):
                self._right.add(texts)
                if decl.name in counts:
                    self._counts[texts] = counts[decl.name]


@define(eq=False)
class Look:
    """One check of a program: at a few points of each grid that may have changed, or at all of them.

    Attributes:
        cancelled: what ends a check of all points; None for one of a few. counts: of the grids of which all is known.
    """

    unchanged: Unchanged
    program: Program
    cancelled: Event | None
    counts: dict[str, Counts] = Factory(dict)
    _seen: list[Decl] = Factory(list)

    def right(self, decl: Decl) -> bool:
        """Whether a block was right as it is; others are noted."""
        right = self.unchanged.holds(self.program, decl)
        if not right:
            self._seen.append(decl)
        return right

    def points(self, grid: Grid) -> Iterator[Any]:
        """Yield the points of a grid that are to be looked at; the first of one that is known. Raises Cancelled."""
        decl = grid.draft.decl
        known = self.unchanged.counts(self.program, decl)
        if known is not None:
            self.counts[decl.name] = known
        if known is not None or (self.cancelled is None and self.right(decl)):
            yield from islice(few_points(grid), 1)
        elif self.cancelled is None:
            yield from few_points(grid)
        else:
            self._seen.append(decl)
            for point in grid.points():
                if self.cancelled.is_set():
                    raise Cancelled
                yield point

    def learn(self, builder: PlanBuilder) -> None:
        """Remember what was right, with the points and runs of grids that were looked at as a whole."""
        if self.cancelled is not None:
            for name in builder.grids.keys() - self.counts.keys():
                runs = [point.run for point in builder.points if point.grid == name]
                self.counts[name] = Counts(len(runs), len(set(runs)))
        self.unchanged.learn(self.program, self._seen, self.program.diagnostics.items, self.counts)


def depended_on(program: Program, block: Decl) -> tuple[Texts, list[Span]]:
    """Return what a block depends on: named texts, and where those of the main file are."""
    module = program.main
    spans = {name: item.span for name, item in module.names.items() if not isinstance(item, Module)}
    texts = {name: span.text for name, span in spans.items()}
    reached = _reached([block.name], texts)
    trains = {name for name in reached if isinstance(decl := module.names[name], Decl) and decl.kind == "train"}
    lookers = [decl.name for decl in module.decls if _looks(decl, texts[decl.name], trains, block.name)]
    names = _reached([block.name, *lookers], texts)
    others = {(file.source.path, file.source.text) for file in program.modules if file is not module}
    imports = {(name, item.source.path) for name, item in module.names.items() if isinstance(item, Module)}
    own = {("", block.name), *((name, texts[name]) for name in names)}
    return frozenset(own | others | imports), [spans[name] for name in names]


def _looks(decl: Decl, text: str, trains: set[str], grid: str) -> bool:
    if decl.kind in ("eval", "probe"):
        return not trains.isdisjoint(_words(text))
    return decl.kind == "plot" and grid in _words(text)


def _reached(names: list[str], texts: dict[str, str]) -> set[str]:
    reached, waiting = set(names), list(names)
    while waiting:
        for name in _words(texts[waiting.pop()]) & texts.keys() - reached:
            reached.add(name)
            waiting.append(name)
    return reached


def _places(found: Diagnostic) -> list[Span | None]:
    return [found.span, *(label.span for label in found.labels)]


def _meet(one: Span, other: Span) -> bool:
    return one.start <= other.end and other.start <= one.end
