"""Lists that configurations write as text, `range(4, 84, 4)` or `[2**i for i in range(1, 16)]`: values and spelling.

Nothing is executed: the forms of Python that the language of `.lmspec` has as well are read, and nothing else.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MOST = 100_000
_OPERATORS: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
}


class NotAList(Exception):
    """A text that is no list of the forms that are known."""


def read_list(text: str) -> tuple[list[Any], str]:
    """Return the values of a list that is written as text, and the list as an expression of the language.

    Raises NotAList saying what cannot be read.
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        value = _value(expression, {})
        text = _text(expression)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotAList("it is no expression of Python") from error
    except (ArithmeticError, TypeError) as error:
        raise NotAList(str(error)) from error
    if not isinstance(value, list):
        raise NotAList("it is no list")
    return value, text


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, names) for item in items]
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _operated(op, _value(left, names), _value(right, names))
        case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]):
            return _bounded(range(*(_value(arg, names) for arg in args)))
        case ast.Call(func=ast.Name(id="list" | "tuple"), args=[arg], keywords=[]):
            return _value(arg, names)
        case ast.Call(func=ast.Attribute(attr="tolist", value=inner), args=[], keywords=[]):
            return _value(inner, names)
        case ast.Call(func=ast.Attribute(attr="logspace" | "linspace" as name), args=[low, high, count], keywords=[]):
            return _spaced(name, _value(low, names), _value(high, names), _value(count, names))
        case ast.ListComp(elt=body, generators=[loop]) | ast.GeneratorExp(elt=body, generators=[loop]):
            return _comprehended(body, loop, names)
    raise NotAList(f"`{ast.unparse(node)}` is not read here")


def _operated(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Pow) and (abs(right) > 1000 or abs(left) > 1e6):
        raise NotAList("its powers are too large")
    if isinstance(op, ast.Mult) and isinstance(left, list | str) | isinstance(right, list | str):
        raise NotAList("a list is not repeated here")
    return _OPERATORS[type(op)][1](left, right)


def _bounded(values: range) -> list[int]:
    if len(values) > MOST:
        raise NotAList(f"it has more than {MOST:,} values")
    return list(values)


def _spaced(name: str, low: float, high: float, count: int) -> list[float]:
    step = (high - low) / max(1, count - 1)
    points = [low + step * n for n in _bounded(range(count))]
    return [10.0**point for point in points] if name == "logspace" else [float(point) for point in points]


def _comprehended(body: ast.expr, loop: ast.comprehension, names: Mapping[str, Any]) -> list[Any]:
    if not isinstance(loop.target, ast.Name) or loop.ifs:
        raise NotAList("a comprehension has one name and no condition here")
    values = _value(loop.iter, names)
    if not isinstance(values, list):
        raise NotAList(f"`{ast.unparse(loop.iter)}` is no list")
    found = [_value(body, {**names, loop.target.id: value}) for value in values]
    if any(isinstance(value, list) for value in found):
        raise NotAList("a list of lists has no counterpart")
    return found


def _text(node: ast.expr) -> str:
    """Return an expression that `_value` reads in the language."""
    match node:
        case ast.Constant(value=str() as value):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case ast.Constant(value=bool() as value):
            return str(value).lower()
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return f"[{', '.join(map(_text, items))}]"
        case ast.UnaryOp(operand=operand):
            return f"-{_text(operand)}"
        case ast.BinOp(left=left, op=op, right=right):
            return f"{_side(left)} {_OPERATORS[type(op)][0]} {_side(right)}"
        case ast.Call(func=ast.Name(id="range"), args=args):
            return f"range({', '.join(map(_text, args))})"
        case ast.Call(func=ast.Name(), args=[arg]):
            return _text(arg)
        case ast.Call(func=ast.Attribute(attr="tolist", value=inner)):
            return _text(inner)
        case ast.Call(func=ast.Attribute(attr=name), args=args):
            return f"{name}({', '.join(map(_text, args))})"
        case ast.ListComp(elt=body, generators=[loop]) | ast.GeneratorExp(elt=body, generators=[loop]):
            return f"[{_text(body)} for {ast.unparse(loop.target)} in {_text(loop.iter)}]"
    return ast.unparse(node)


def _side(node: ast.expr) -> str:
    return f"({_text(node)})" if isinstance(node, ast.BinOp | ast.UnaryOp) else _text(node)
