"""The functions of the language: total, hermetic, exact to 34 digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

from ...spec.units import Env
from .values import EXACT, MOST_DIGITS, Distribution, PathValue, is_too_large

LONGEST = 100_000
ROUNDED = Context(prec=30)
"""What computed points are rounded to, so that 10 ** -3 is 0.001."""


class Misuse(Exception):
    """A function was given what it cannot take."""


def _range(*args: Any) -> list[int]:
    if not 1 <= len(args) <= 3 or not all(isinstance(a, int) for a in args):
        raise Misuse("takes one to three whole numbers: end, or start, end and step")
    if len(args) == 3 and args[2] == 0:
        raise Misuse("needs a step that is not 0")
    return _bounded(range(*args))


def _pow2(low: Any, high: Any) -> list[int]:
    if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= 62):
        raise Misuse("takes two exponents in order, both included: pow2(1, 3) is [2, 4, 8]")
    return [2**n for n in range(low, high + 1)]


def _geom(start: Any, stop: Any, count: Any) -> list[Decimal]:
    low, high = Decimal(start), Decimal(stop)
    if low <= 0 or high <= 0:
        raise Misuse("takes positive ends")
    return _spaced(EXACT.ln(low), EXACT.ln(high), count, EXACT.exp)


def _linspace(start: Any, stop: Any, count: Any) -> list[Decimal]:
    return _spaced(Decimal(start), Decimal(stop), count, lambda value: value)


def _logspace(start: Any, stop: Any, count: Any) -> list[Decimal]:
    return _spaced(Decimal(start), Decimal(stop), count, lambda value: EXACT.power(Decimal(10), value))


def _spaced(low: Decimal, high: Decimal, count: Any, shape: Callable[[Decimal], Decimal]) -> list[Decimal]:
    if not isinstance(count, int) or not 1 <= count <= LONGEST:
        raise Misuse(f"takes a count from 1 to {LONGEST:,}")
    if count == 1:
        return [EXACT.plus(shape(low))]
    step = EXACT.divide(EXACT.subtract(high, low), Decimal(count - 1))
    points = [EXACT.add(low, EXACT.multiply(step, Decimal(n))) for n in range(count)]
    return [ROUNDED.normalize(shape(point)) for point in points]


def _uniform(low: Any, high: Any) -> Distribution:
    first, last = _ends(low, high)
    return Distribution("uniform", lambda u: EXACT.add(first, EXACT.multiply(EXACT.subtract(last, first), u)))


def _loguniform(low: Any, high: Any) -> Distribution:
    first, last = _ends(low, high)
    if first <= 0:
        raise Misuse("takes positive ends")
    start = EXACT.ln(first)
    span = EXACT.subtract(EXACT.ln(last), start)
    return Distribution("loguniform", lambda u: EXACT.exp(EXACT.add(start, EXACT.multiply(span, u))))


def _ends(low: Any, high: Any) -> tuple[Decimal, Decimal]:
    if not all(isinstance(end, int | Decimal) and not isinstance(end, bool) for end in (low, high)) or low > high:
        raise Misuse("takes two numbers, the smaller first")
    return Decimal(low), Decimal(high)


def _choice(values: Any) -> Distribution:
    if not isinstance(values, list) or not values:
        raise Misuse("takes a list with at least one value")
    return Distribution("choice", lambda u: values[int(EXACT.multiply(u, Decimal(len(values))))])


def _bounded(values: range) -> list[int]:
    if len(values) > LONGEST:
        raise Misuse(f"gives more than {LONGEST:,} values")
    return list(values)


def _of_list(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def reduce(*args: Any) -> Any:
        values = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else list(args)
        if not values:
            raise Misuse("needs at least one value")
        return function(values)

    return reduce


def _sqrt(value: Any) -> Decimal:
    if value < 0:
        raise Misuse("takes no negative number")
    return EXACT.sqrt(Decimal(value))


def _len(value: Any) -> int:
    if not isinstance(value, list | tuple | str):
        raise Misuse("takes a list or a string")
    return len(value)


def _round(value: Any, digits: Any = 0) -> Any:
    rounded = round(Decimal(value), digits)
    return int(rounded) if digits == 0 else rounded


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "pow2": _pow2,
    "geom": _geom,
    "linspace": _linspace,
    "logspace": _logspace,
    "uniform": _uniform,
    "loguniform": _loguniform,
    "choice": _choice,
    "min": _of_list(min),
    "max": _of_list(max),
    "sum": _of_list(sum),
    "len": _len,
    "sqrt": _sqrt,
    "round": _round,
    "file": lambda path: PathValue(_text(path)),
    "files": lambda path: PathValue(_text(path), glob=True),
    "env": lambda name: Env(_text(name)),
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Misuse("takes a string")
    return value


def arithmetic(op: str, left: Any, right: Any) -> Any:
    """Return `left op right` of exact numbers, strings or lists. Raises Misuse with what is wrong."""
    if op == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if op == "+" and isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > LONGEST:
            raise Misuse(f"a list has at most {LONGEST:,} elements")
        return left + right
    if not all(isinstance(v, int | Decimal) and not isinstance(v, bool) for v in (left, right)):
        raise Misuse(f"`{op}` takes numbers")
    if op in ("/", "//", "%") and right == 0:
        raise Misuse("division by zero")
    result = _computed(op, left, right)
    if is_too_large(result):
        raise Misuse(f"the result has more than {MOST_DIGITS:,} digits")
    return result


def _computed(op: str, left: int | Decimal, right: int | Decimal) -> Any:
    if isinstance(left, int) and isinstance(right, int) and op in ("+", "-", "*", "//", "%"):
        return {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "//": int.__floordiv__, "%": int.__mod__}[op](
            left, right
        )
    if op == "**":
        return _power(left, right)
    a, b = Decimal(left), Decimal(right)
    if op == "//":
        return int((a / b).to_integral_value(rounding="ROUND_FLOOR"))
    if op == "%":
        return EXACT.subtract(a, EXACT.multiply(b, Decimal(math.floor(a / b))))
    operations = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply, "/": EXACT.divide}
    return operations[op](a, b)


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and 0 <= right <= 1000:
        if left.bit_length() * right > 8 * MOST_DIGITS:
            raise Misuse(f"the result has more than {MOST_DIGITS:,} digits")
        return left**right
    if left < 0 and right != int(right):
        raise Misuse("a negative number has no such power")
    return EXACT.power(Decimal(left), Decimal(right))
