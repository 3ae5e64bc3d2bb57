"""Which blocks an expression may give: `learned {} if batch > 8 else nope {}`, a constant, a free axis."""

from __future__ import annotations

from typing import Any

from ..syntax import tree
from .cells import AxisRead, BlockValue, Scope


def blocks_of(expr: Any, scope: Scope) -> list[BlockValue] | None:
    """Return the blocks that an expression may give, or None if one of its branches is neither block nor `none`."""
    if isinstance(expr, tree.Inline):
        return [BlockValue(expr, scope)]
    if isinstance(expr, tree.Literal) and expr.word == "none":
        return []
    parts: tuple[Any, ...] = ()
    if isinstance(expr, tree.Cond):
        parts = (expr.then, expr.other)
    elif isinstance(expr, tree.Ref) and not expr.tail:
        variable, top = dict(scope.variables).get(expr.head.text), scope.module.names.get(expr.head.text)
        if isinstance(variable, AxisRead) and isinstance(variable.values, tree.ListExpr):
            parts = variable.values.items
        elif isinstance(top, tree.Let):
            parts, scope = (top.value,), Scope((), scope.module)
    found = [blocks_of(part, scope) for part in parts]
    if not found or any(blocks is None for blocks in found):
        return None
    return [block for blocks in found for block in blocks or ()]
