"""From rows to lines: filter, group, reduce what remains within a replicate, then mean and band over replicates."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.expr import Expr
from ...spec.plot import LinePlot
from .results import Row

AGGREGATES: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max, "mean": statistics.fmean}
REPLICATE = "seed"


@frozen
class Line:
    """One line of a figure.

    Attributes:
        facet: value of the panel. label: what the legend says. order: sorts labels.
        x, y: values. low, high: the band, equal to y without one.
    """

    facet: Any
    label: str
    order: tuple[Any, ...]
    x: tuple[Any, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def lines(spec: LinePlot, rows: Iterable[Row]) -> list[Line]:
    """Return the lines of a plot. Raises LmcError (LM0505) if several rows of a replicate meet at one point."""
    groups: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    reached: dict[tuple[Any, ...], dict[Any, set[Any]]] = {}
    for row in rows:
        if not kept(spec, row):
            continue
        for number, y in enumerate(spec.y):
            inner = y.tree[2][0] if _aggregate(y) else y.tree
            value = _value(Expr(inner), row)
            x = _value(spec.x, row)
            if value is None or x is None or not math.isfinite(value):
                continue
            color = _value(spec.color, row) if spec.color else None
            facet = _value(spec.facet, row) if spec.facet else None
            groups.setdefault((number, facet, color, x), {}).setdefault(row.get(REPLICATE), []).append(value)
            reached.setdefault((number, facet, color), {}).setdefault(_run(row), set()).add(x)
    whole = {key: _of_all(runs.values()) for key, runs in reached.items()} if "step" in spec.x.names() else {}
    series: dict[tuple[Any, ...], dict[Any, tuple[float, float, float]]] = {}
    for (number, facet, color, x), replicates in groups.items():
        if whole and x not in whole[number, facet, color]:
            continue
        values = [_reduced(spec.y[number], values) for values in replicates.values()]
        series.setdefault((facet, number, color), {})[x] = _band(spec.band, values)
    return [_line(spec, key, points) for key, points in sorted(series.items(), key=lambda item: _order(item[0]))]


def _run(row: Row) -> Any:
    return row.get("source"), row.get("run")


def _of_all(runs: Collection[set[Any]]) -> set[Any]:
    """Return where every run that goes so far has a value, of where each has one.

    A run's last record lies where the others have none, and a mean of it alone would be no point of the line.
    """
    ends = sorted(max(values) for values in runs)
    counts = Counter(x for values in runs for x in values)
    return {x for x, count in counts.items() if count == len(ends) - bisect_left(ends, x)}


def kept(spec: LinePlot, row: Row) -> bool:
    """Whether `where` keeps a row; a condition on what is missing there does not."""
    return spec.where is None or bool(_value(spec.where, row))


def _value(expr: Expr, row: Row) -> Any:
    """Return an expression's value in a row, None where a column is missing."""
    if any(row.get(name) is None for name in expr.names()):
        return None
    return expr.evaluate(row.__getitem__, {**AGGREGATES, "sqrt": math.sqrt, "round": round})


def _aggregate(y: Expr) -> bool:
    return y.tree[0] == "call" and y.tree[1] in AGGREGATES and len(y.tree[2]) == 1


def _reduced(y: Expr, values: list[float]) -> float:
    if _aggregate(y):
        return AGGREGATES[y.tree[1]](values)
    if len(values) > 1:
        message = f"`{y.text}` has {len(values)} values at one point of a line"
        raise LmcError(Diagnostic("LM0505", message, None, help=f"reduce them: mean({y.text})"))
    return values[0]


def _band(kind: str, values: list[float]) -> tuple[float, float, float]:
    middle = statistics.fmean(values)
    if kind == "none" or len(values) == 1:
        return middle, middle, middle
    if kind == "minmax":
        return middle, min(values), max(values)
    spread = statistics.stdev(values)
    return middle, middle - spread, middle + spread


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((value is None, isinstance(value, str), value if value is not None else 0) for value in key)


def _line(spec: LinePlot, key: tuple[Any, ...], points: dict[Any, tuple[float, float, float]]) -> Line:
    facet, number, color = key
    ordered = sorted(points.items())
    parts = [spec.y[number].text] if len(spec.y) > 1 else []
    parts += [str(color)] if color is not None else []
    values = [value for _, value in ordered]
    return Line(
        facet,
        ", ".join(parts),
        _order((number, color)),
        tuple(x for x, _ in ordered),
        tuple(middle for middle, _, _ in values),
        tuple(low for _, low, _ in values),
        tuple(high for _, _, high in values),
    )
