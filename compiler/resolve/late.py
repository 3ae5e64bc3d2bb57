"""Expressions that are evaluated after compilation: checked for form here, kept as trees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ...spec.expr import Expr
from ..syntax import tree
from .cells import Scope
from .problems import poison, problem
from .values import Quantity, number

FUNCTIONS = ("min", "max", "mean", "sum", "len", "round", "sqrt", "since_best")


def late_expression(expr: tree.Expr, scope: Scope) -> Expr:
    """Return the tree of a plot column, a filter or a condition. Raises Problem."""
    text = " ".join(expr.span.text.split())
    return Expr(_tree(expr), text)


def _tree(expr: tree.Expr) -> tuple[Any, ...]:
    if isinstance(expr, tree.Bad):
        raise poison()
    if isinstance(expr, tree.Number):
        value = number(expr)
        if isinstance(value, Quantity):
            raise problem("LM0302", expr.span, "a column has no unit")
        return ("value", float(value) if isinstance(value, Decimal) else value)
    if isinstance(expr, tree.String):
        return ("value", expr.value)
    if isinstance(expr, tree.Literal) and expr.word != "unset":
        return ("value", {"true": True, "false": False, "none": None}[expr.word])
    if isinstance(expr, tree.Ref) and expr.dotted is not None:
        return ("name", expr.dotted)
    if isinstance(expr, tree.ListExpr):
        return ("list", tuple(_tree(item) for item in expr.items))
    if isinstance(expr, tree.Call):
        if expr.name.text not in FUNCTIONS:
            raise problem("LM0306", expr.name.span, f"there is no function `{expr.name.text}` over results")
        return ("call", expr.name.text, tuple(_tree(arg) for arg in expr.args))
    if isinstance(expr, tree.Unary):
        return ("op", {"-": "neg", "+": "pos"}.get(expr.op, expr.op), (_tree(expr.operand),))
    if isinstance(expr, tree.Binary):
        return ("op", expr.op, (_tree(expr.left), _tree(expr.right)))
    raise problem(
        "LM0307",
        expr.span,
        "this cannot stand in an expression over results",
        help=f"write names, numbers, operators and {', '.join(FUNCTIONS)}",
    )
