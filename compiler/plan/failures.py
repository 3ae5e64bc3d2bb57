"""Mistakes of a grid's points: each told once, with how many points make it and the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Factory, define

from ...spec.diagnostic import Diagnostic, Label
from ...spec.span import Span
from ..resolve.axes import Axis, described
from ..resolve.grids import Grid, plain
from ..resolve.problems import Problem
from ..syntax import tree

WRITTEN = ("LM02", "LM0301", "LM0302", "LM0304", "LM0305", "LM0306", "LM0310", "LM0506")
"""Codes of names, types and units; the others are of values, which axes may have a part in."""


@define
class Failure:
    """One mistake: as the first point makes it, what that is, and how many points make it."""

    first: Diagnostic
    axes: Mapping[str, Any]
    count: int = 0


@define
class Failures:
    """The mistakes of one grid; `failed` says whether any of the points that were `seen` failed, told or not."""

    seen: int = 0
    failed: bool = False
    found: dict[tuple[str, Span | None], Failure] = Factory(dict)

    def add(self, problem: Problem, axes: Mapping[str, Any]) -> None:
        """Count what is wrong at a point."""
        self.failed = True
        for told in problem.told():
            key = (told.code, told.span)
            failure = self.found.get(key)
            if failure is None:
                failure = self.found[key] = Failure(told, axes)
            failure.count += 1

    def diagnostics(self, grid: Grid) -> Iterator[Diagnostic]:
        """Yield what is to be told; the mistake itself where the grid has one point."""
        for failure in self.found.values():
            counted = self.seen == grid.total
            yield failure.first if _of_no_point(grid, failure, counted) else _grouped(grid, failure, counted)


def _of_no_point(grid: Grid, failure: Failure, counted: bool) -> bool:
    """Whether a mistake is of what is written, whatever the axes say: as if there was no grid."""
    if grid.total == 1 or not grid.axes:
        return True
    every = counted and failure.count == grid.total
    return every and failure.first.code.startswith(WRITTEN) and _at_fault(grid, failure.first) is None


def _grouped(grid: Grid, failure: Failure, counted: bool) -> Diagnostic:
    first, decl = failure.first, grid.draft.decl
    many = f"{failure.count:,} of {grid.total:,} points" if counted else "points"
    points = f"{many} of grid `{decl.name}`"
    axis = _at_fault(grid, first)
    labels = first.labels if first.span is None else (Label(first.span, first.label or "here"), *first.labels)
    if axis is not None:
        labels = tuple(label for label in labels if label.span != axis.place.span)
    help = first.help
    if first.code.startswith("LM04"):
        help = f"{help}; or drop these points with `where`" if help else "drop these points with `where`"
    message = f"{points} fail {first.code}: {first.message}"
    span = decl.name_span if axis is None else _value_span(axis, failure.axes[axis.path])
    return Diagnostic("LM0507", message, span, f"first: {described(failure.axes)}", labels, help)


def _at_fault(grid: Grid, first: Diagnostic) -> Axis | None:
    """Return the first axis that takes part."""
    spans = [first.span, *(label.span for label in first.labels)]
    return next((axis for axis in grid.axes if axis.place.span in spans), None)


def _value_span(axis: Axis, value: Any) -> Span:
    """Return where a value of an axis is written; where all of them are, if they are no list of values."""
    values = [plain(one.value) for one in axis.values]
    if isinstance(axis.place, tree.ListExpr) and len(axis.place.items) == len(values):
        same = [type(one) is type(value) and one == value for one in values]  # to Python `true` is 1
        return axis.place.items[same.index(True)].span
    return axis.place.span
