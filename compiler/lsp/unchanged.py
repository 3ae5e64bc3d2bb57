"""Which grids and overlays need not be looked at again: those that were right, and of whose texts nothing has changed.

What a block depends on is read off the words of the file: the blocks that it names, those that they name, and so on;
the evaluations, probes and plots that are of its runs; all other files. That is more than it depends on, never less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from attrs import Factory, define

from ...spec.diagnostic import Diagnostic
from ...spec.span import Span
from ..resolve.declare import Decl, Module
from ..resolve.world import Program

WORD = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b(?![ \t]*\+?=(?!=))")
"""A word that may name a block: none that is set, as `base` in `base = small`."""
MOST_KEPT = 1000

Texts = frozenset[tuple[str, str]]


@lru_cache(maxsize=MOST_KEPT)
def _words(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text))


@define(eq=False)
class Unchanged:
    """Remembers grids and overlays that were right, by all texts that they depend on."""

    _right: set[Texts] = Factory(set)

    def holds(self, program: Program, decl: Decl) -> bool:
        """Whether a block was right when all that it depends on was as it is."""
        return depended_on(program, decl)[0] in self._right

    def learn(self, program: Program, decls: Iterable[Decl], found: Sequence[Diagnostic]) -> None:
        """Remember those blocks which none of the mistakes that were found may concern."""
        if len(self._right) > MOST_KEPT:
            self._right.clear()
        spans = [span for diagnostic in found for span in _places(diagnostic)]
        main = program.main.source.path
        if any(span is None or span.source.path != main for span in spans):
            return
        for decl in decls:
            texts, places = depended_on(program, decl)
            if not any(_meet(span, place) for span in spans if span is not None for place in places):
                self._right.add(texts)


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
    own = ("", block.name)
    return frozenset({own, *((name, texts[name]) for name in names), *others}), [spans[name] for name in names]


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
