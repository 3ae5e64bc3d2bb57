"""Memory of a world: what was computed, by the values of the axes that it read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from .problems import Early, Problem


@define(eq=False)
class Memo:
    """Values by the axes that they depend on.

    `point` holds the present value of every axis. A computation notes the axes that it reads; its result is kept
    under their values. A later computation of the same key with the same values would read the same and so is skipped.
    What needs an axis before there are points is not kept.
    """

    point: list[Any] = field(factory=list)
    reading: list[set[int]] = field(factory=list)
    kept: dict[Any, tuple[tuple[int, ...], dict[tuple[Any, ...], Any]]] = field(factory=dict)

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
        kept = self.kept.get(key)
        if kept is not None:
            deps, table = kept
            point = self.point
            values = tuple([id(point[i]) for i in deps]) if deps else ()
            if values in table:
                if deps and self.reading:
                    self.reading[-1].update(deps)
                result = table[values]
                if isinstance(result, Problem):
                    raise result
                return result
        else:
            deps, table = (), {}
        self.reading.append(set(deps))
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
        found = tuple(sorted(read))
        if found != deps or key not in self.kept:
            deps, table = found, {}
            self.kept[key] = (deps, table)
        table[tuple([id(self.point[i]) for i in deps])] = result
        if isinstance(result, Problem):
            raise result
        return result
