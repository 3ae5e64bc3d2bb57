"""Some points of a grid, for a check that must be fast: every value of every axis, but not every combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .axes import AxisValue
from .grids import Grid
from .world import World

MOST_VALUES = 50
"""Values of an axis that are looked at."""


def few_points(grid: Grid) -> Iterator[tuple[World, tuple[AxisValue, ...]]]:
    """Yield the first point, and those that differ from it in one axis, or in the axes that go in step.

    Of more than `MOST_VALUES` values these are as many, spread evenly from the first to the last.
    """
    groups = [list(members) for _, members in itertools.groupby(grid.axes, key=lambda axis: axis.group)]
    stepped = [list(zip(*(axis.values for axis in group), strict=True)) for group in groups]
    first = [values[0] for values in stepped]
    yield _at(grid, first)
    for number, values in enumerate(stepped):
        count = min(len(values), MOST_VALUES)
        for at in range(1, count):
            chosen = values[at * (len(values) - 1) // (count - 1)]
            yield _at(grid, [*first[:number], chosen, *first[number + 1 :]])


def _at(grid: Grid, parts: list[tuple[AxisValue, ...]]) -> tuple[World, tuple[AxisValue, ...]]:
    values = tuple(itertools.chain.from_iterable(parts))
    world = grid.worlds[tuple(v for axis, v in zip(grid.axes, values, strict=True) if axis.structural)]
    world.memo.point = list(values)
    return world, values
