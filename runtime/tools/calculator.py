"""Arithmetic as a tool: exact rational numbers where they suffice, floats where they do not, and bounds on both.

Expressions are parsed by Python's own parser and walked over a list of allowed nodes; nothing is ever evaluated as
Python. Numbers have at most LONGEST_BITS bits, so no expression takes long.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction

from attrs import frozen

from ...spec.protocol import PARAMETER, CalculatorProtocol
from .base import Answer, decoded

Number = Fraction | float
LONGEST = 1000
"""Characters of an expression."""
DEEPEST = 200
LONGEST_BITS = 4096
DIGITS = 28
"""Significant digits up to which a finite decimal is told exactly."""
NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.])"
TOKEN = re.compile(rf"\s*(?:{NUMBER}|[A-Za-z_]\w*|\*\*|//|[-+*/%(),])", re.ASCII)


class Refused(Exception):
    """An expression that is not computed, and why."""


@frozen
class Calculator:
    """Computes an expression whose names are captures, each an expression of its own."""

    spec: CalculatorProtocol

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Return the value of the expression; `error` for what is no arithmetic, has no value or is too large."""
        texts = decoded(captures)
        template = PARAMETER.sub(lambda match: f"({match.group(1)})", self.spec.expression)
        asked = "; ".join(f"{name} = {text}" for name, text in texts.items())
        try:
            asked_for = [name for name in PARAMETER.findall(self.spec.expression) if name in texts]
            names = {name: compute(texts[name], {}) for name in asked_for}
            return Answer("answered", told(compute(template, names)), asked)
        except Refused as error:
            return Answer("error", detail=f"{error}: {asked}")

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def compute(text: str, names: Mapping[str, Number]) -> Number:
    """Return the value of an expression. Raises Refused."""
    _check_tokens(text)
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval")
        return _value(tree.body, " ".join(text.split()), names, DEEPEST)
    except SyntaxError as error:
        raise Refused("not an expression") from error
    except ZeroDivisionError as error:
        raise Refused("division by zero") from error
    except (OverflowError, RecursionError, MemoryError) as error:
        raise Refused("too large") from error
    except (ValueError, TypeError) as error:
        raise Refused("no such value") from error


def told(value: Number) -> str:
    """Return a number as people write it: whole, exact if it has at most 28 digits, else the nearest float."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if value.denominator == 1:
        return str(value.numerator)
    context = Context(prec=DIGITS)
    decimal = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    if Fraction(decimal) == value:
        return format(decimal, "f") if abs(decimal.adjusted()) <= DIGITS else str(decimal)
    try:
        nearest = float(value)
    except OverflowError:
        nearest = 0.0
    return repr(nearest) if nearest else str(Context(prec=17).plus(decimal))


def _check_tokens(text: str) -> None:
    if len(text) > LONGEST:
        raise Refused("too long")
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at, end)
        if match is None:
            raise Refused("not an expression")
        at = match.end()


def _value(node: ast.expr, text: str, names: Mapping[str, Number], depth: int) -> Number:
    if depth == 0:
        raise Refused("nested too deep")
    if isinstance(node, ast.Constant):
        return _bounded(Fraction(text[node.col_offset : node.end_col_offset]))
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](_value(node.operand, text, names, depth - 1))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        left = _value(node.left, text, names, depth - 1)
        right = _value(node.right, text, names, depth - 1)
        return _bounded(BINARY[type(node.op)](left, right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        if not node.args or node.keywords:
            raise Refused(f"`{node.func.id}` takes numbers")
        return _bounded(FUNCTIONS[node.func.id](*(_value(arg, text, names, depth - 1) for arg in node.args)))
    raise Refused("not an expression")


def _bounded(value: Number) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("too large")
    elif max(value.numerator.bit_length(), value.denominator.bit_length()) > LONGEST_BITS:
        raise Refused("too large")
    return value


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if (bits - 1) * abs(exponent) > LONGEST_BITS:
            raise Refused("too large")
        return Fraction(base**exponent)
    result = float(base) ** float(exponent)
    if isinstance(result, complex):
        raise Refused("no real number")
    return float(result)


def _sqrt(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
    return math.sqrt(value)


def _round(value: Number, digits: Number = Fraction(0)) -> Number:
    if digits != int(digits) or not -100 <= digits <= 100:
        raise Refused("`round` takes a whole number of digits")
    places = int(digits)
    return round(value, places) if isinstance(value, float) else Fraction(round(value, places))


UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: lambda value: value,
    ast.USub: lambda value: -value,
}
BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
FUNCTIONS: dict[str, Callable[..., Number]] = {
    "sqrt": _sqrt,
    "abs": abs,
    "round": _round,
    "min": lambda *numbers: min(numbers),
    "max": lambda *numbers: max(numbers),
}
