"""Expressions that are evaluated after compilation: plot columns, filters over results, run-time conditions.

A tree of plain tuples, so that a plan can store it as JSON:

    ("value", 0.95)   ("name", "exact.accuracy")   ("call", "min", (arg, ...))   ("op", ">=", (left, right))
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
    "not": operator.not_,
    "neg": operator.neg,
}


@frozen
class Expr:
    """A late expression. `text` is how it was written; only `tree` has meaning."""

    tree: tuple[Any, ...]
    text: str = ""

    def names(self) -> tuple[str, ...]:
        """Return the dotted names that the expression reads, in order of first use."""
        return tuple(dict.fromkeys(_names(self.tree)))

    def evaluate(self, lookup: Callable[[str], Any], functions: dict[str, Callable[..., Any]] | None = None) -> Any:
        """Return the value; `and` and `or` short-circuit. Raises KeyError for an unknown function."""
        return _evaluate(self.tree, lookup, functions or {})


def _names(tree: tuple[Any, ...]) -> Iterator[str]:
    if tree[0] == "name":
        yield tree[1]
    elif tree[0] in ("call", "op", "list"):
        for child in tree[-1]:
            yield from _names(child)


def _evaluate(tree: tuple[Any, ...], lookup: Callable[[str], Any], functions: dict[str, Callable[..., Any]]) -> Any:
    tag = tree[0]
    if tag == "value":
        return tree[1]
    if tag == "name":
        return lookup(tree[1])
    if tag == "list":
        return [_evaluate(child, lookup, functions) for child in tree[1]]
    if tag == "call":
        return functions[tree[1]](*(_evaluate(child, lookup, functions) for child in tree[2]))
    name, children = tree[1], tree[2]
    if name in ("and", "or"):
        left = _evaluate(children[0], lookup, functions)
        return left if bool(left) == (name == "or") else _evaluate(children[1], lookup, functions)
    return OPERATORS[name](*(_evaluate(child, lookup, functions) for child in children))
