"""Steps that are written as numbers: they are whole; only computed ones are rounded."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from ...spec.diagnostic import Edit
from ...spec.schema import hints
from ...spec.units import Steps
from ..syntax import tree
from .cells import AnyExpr, AxisRead
from .problems import problem
from .values import number


def check_whole(expr: AnyExpr, value: Any, cls: Any, name: str) -> None:
    """Raise Problem (LM0301) where field `name` of `cls` counts steps and `expr` writes a fraction of one.

    `value` is what `expr` gives; of the values of an axis it is the one to look at.
    """
    if not _counts_steps(cls, name):
        return
    for literal, written in _fractions(expr.values if isinstance(expr, AxisRead) else expr):
        if isinstance(expr, AxisRead) and written != value:
            continue
        below, told = int(written), f"{written.normalize():f}"
        share = f"{told} * steps" if below == 0 and name != "steps" else ""
        help = f"write {below} or {below + 1}" if below else "write 1"
        help = f"it counts steps; a share of the run is {share}" if share else help
        edits = (Edit(literal.span, share),) if share else ()
        raise problem("LM0301", literal.span, f"`{name}` needs an Int, got {told}", help=help, edits=edits)


def _fractions(expr: Any) -> Iterator[tuple[tree.Number, Decimal]]:
    """Yield the numbers of an expression that are no whole ones, unless they are computed with."""
    if isinstance(expr, tree.ListExpr):
        for item in expr.items:
            yield from _fractions(item)
    elif isinstance(expr, tree.Number):
        value = number(expr)
        if isinstance(value, Decimal) and value != value.to_integral_value():
            yield expr, value


@cache
def _counts_steps(cls: Any, name: str) -> bool:
    annotation = hints(cls)[name]
    return annotation is Steps or Steps in typing.get_args(annotation)
