"""Memory of a world: what was computed, by the values of the axes that it read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Any

from attrs import define, field

from .problems import Early, Problem

MISSING = object()


@define(eq=False)
class Table:
    """What a computation gave, by the present values of the axes that it reads.

    Attributes:
        axes: their numbers. present: gives their values at a point; one axis by itself, several as a tuple.
    """

    axes: frozenset[int]
    present: Callable[[Sequence[Any]], Hashable]
    results: dict[Hashable, Any] = field(factory=dict)


@define(eq=False)
class Memo:
    """Values by the axes that they depend on.

    `point` holds the present value of every axis. A computation notes the axes that it reads; its result is kept
    under their values, or as `settled` if it reads none. A later computation of the same key with the same values
    would read the same and so is skipped. What needs an axis before there are points is not kept.
    """

    point: list[Any] = field(factory=list)
    reading: list[set[int]] = field(factory=list)
    settled: dict[Any, Any] = field(factory=dict)
    varying: dict[Any, Table] = field(factory=dict)

    def axis(self, number: int) -> Any:
        """Return the present value of an axis and note that it was read."""
        if self.reading:
            self.reading[-1].add(number)
        return self.point[number]

    def noted(self, compute: Callable[[], Any]) -> tuple[Any, bool]:
        """Return compute(), and whether it read an axis."""
        self.reading.append(set())
        try:
            result = compute()
        finally:
            read = self.reading.pop()
            if self.reading:
                self.reading[-1] |= read
        return result, bool(read)

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return compute(), or what it returned or raised before for the same values of the axes it reads."""
        result = self.settled.get(key, MISSING)
        if result is MISSING:
            table = self.varying.get(key)
            if table is not None:
                result = table.results.get(table.present(self.point), MISSING)
            if result is MISSING:
                result = self._computed(key, compute, table)
            elif table is not None and self.reading:
                self.reading[-1] |= table.axes
        if isinstance(result, Problem):
            raise result.with_traceback(None)  # else it keeps the frames of every raise
        return result

    def _computed(self, key: Any, compute: Callable[[], Any], table: Table | None) -> Any:
        """Return what compute() returns or raises now, and keep it."""
        self.reading.append(set() if table is None else set(table.axes))
        try:
            result = compute()
        except Early:
            self.reading.pop()
            raise
        except Problem as error:
            result = error
        read = self.reading.pop()
        if self.reading:
            self.reading[-1] |= read
        if not read:
            self.settled[key] = result
            return result
        if table is None or read != table.axes:
            table = self.varying[key] = Table(frozenset(read), itemgetter(*sorted(read)))
        table.results[table.present(self.point)] = result
        return result
