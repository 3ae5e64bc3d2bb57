"""Expressions: what operators, literals, strings and calls give; names are `References`' business."""

from __future__ import annotations

import difflib
import os
import re
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from ...spec.diagnostic import Diagnostic, Edit
from ...spec.units import Pattern
from ..syntax import tree
from .cells import AnyExpr, AxisRead, BlockValue, Cell, Constant, Scope
from .declare import Decl
from .functions import FUNCTIONS, LONGEST, Misuse, arithmetic
from .problems import Early, poison, problem
from .references import References
from .values import DeclRef, PathValue, Quantity, kind_name, number, shown

WIDEST = 200
"""Most characters that a format may ask for."""
WHOLE = ("d", "x", "X", "o", "b")
"""Formats of whole numbers."""


@define(eq=False)
class Expressions(References):
    """Evaluates expressions in scopes."""

    root: Path
    walked: int = field(init=False, default=0)
    """Elements that the present comprehension and those in it went over."""

    def expr(self, expr: AnyExpr, scope: Scope, defining: tuple[Cell, str] | None = None) -> Any:
        """Return the exact value of an expression. Raises Problem."""
        method = getattr(self, "_" + type(expr).__name__.lower())
        return method(expr, scope, defining)

    def _constant(self, expr: Constant, scope: Scope, defining: Any) -> Any:
        return DeclRef(expr.value) if isinstance(expr.value, Decl) else expr.value

    def _axisread(self, expr: AxisRead, scope: Scope, defining: Any) -> Any:
        if not self.memo.point:
            message = "this is another value at every point of the grid, and is needed before there are points"
            raise Early(Diagnostic("LM0307", message, expr.span, help="write what does not depend on an axis"))
        return self.memo.axis(expr.axis).value

    def _number(self, expr: tree.Number, scope: Scope, defining: Any) -> Any:
        return number(expr)

    def _string(self, expr: tree.String, scope: Scope, defining: Any) -> Any:
        return Pattern(expr.value, True) if expr.prefix == "re" else expr.value

    def _fstring(self, expr: tree.FString, scope: Scope, defining: Any) -> str:
        return "".join(
            part if isinstance(part, str) else self.interpolated(part, scope, defining) for part in expr.parts
        )

    def interpolated(self, part: tree.Interpolation, scope: Scope, defining: tuple[Cell, str] | None = None) -> str:
        """Return what stands in place of the braces of a text. Raises Problem."""
        return self._format(self.expr(part.expr, scope, defining), part)

    @staticmethod
    def _format(value: Any, part: tree.Interpolation) -> str:
        if any(int(digits) > WIDEST for digits in re.findall(r"[0-9]+", part.format)):
            raise problem(
                "LM0307", part.span, f"a value takes at most {WIDEST} characters", help="write a smaller width"
            )
        plain = value
        if isinstance(value, Decimal):
            plain = int(value) if part.format[-1:] in WHOLE and value == value.to_integral_value() else float(value)
        elif isinstance(value, bool) or not isinstance(value, int | float | str):
            plain = shown(value)
        try:
            return format(plain, part.format)
        except (ValueError, TypeError) as error:
            help = "write it without a format, or one that fits: `:d` a whole number, `:.3g` any"
            message = f"`{part.format}` does not format {kind_name(value)}"
            raise problem("LM0307", part.span, message, help=help) from error

    def _literal(self, expr: tree.Literal, scope: Scope, defining: Any) -> Any:
        if expr.word == "unset":
            raise problem("LM0307", expr.span, "`unset` is no value", help="it stands alone: field = unset")
        return {"true": True, "false": False, "none": None}[expr.word]

    def _inline(self, expr: tree.Inline, scope: Scope, defining: Any) -> BlockValue:
        return BlockValue(expr, scope)

    def _listexpr(self, expr: tree.ListExpr, scope: Scope, defining: Any) -> list[Any]:
        return [self.expr(item, scope, defining) for item in expr.items]

    def _bad(self, expr: tree.Bad, scope: Scope, defining: Any) -> Any:
        raise poison()

    def _comprehension(self, expr: tree.Comprehension, scope: Scope, defining: Any) -> list[Any]:
        found = []
        listed = self.expr(expr.iterable, scope, defining)
        if not isinstance(listed, list):
            raise problem("LM0301", expr.iterable.span, f"a comprehension goes over a List, got {kind_name(listed)}")
        self.walked = len(listed) + (self.walked if scope.variables else 0)
        if self.walked > LONGEST:
            raise problem(
                "LM0307", expr.span, f"comprehensions go over at most {LONGEST:,} elements", help="make it shorter"
            )
        for item in listed:
            inner = evolve(scope, variables=((expr.name.text, item), *scope.variables))
            if expr.condition is None or self._truth(expr.condition, inner, defining):
                found.append(self.expr(expr.body, inner, defining))
        return found

    def _cond(self, expr: tree.Cond, scope: Scope, defining: Any) -> Any:
        chosen = expr.then if self._truth(expr.condition, scope, defining) else expr.other
        return self.expr(chosen, scope, defining)

    def _truth(self, expr: tree.Expr, scope: Scope, defining: Any) -> bool:
        value = self.expr(expr, scope, defining)
        if not isinstance(value, bool):
            raise problem("LM0301", expr.span, f"a condition is a Bool, got {kind_name(value)}")
        return value

    def _unary(self, expr: tree.Unary, scope: Scope, defining: Any) -> Any:
        if expr.op == "not":
            return not self._truth(expr.operand, scope, defining)
        value = self.expr(expr.operand, scope, defining)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise problem("LM0301", expr.span, f"`{expr.op}` takes a number, got {kind_name(value)}")
        return -value if expr.op == "-" else value

    def _binary(self, expr: tree.Binary, scope: Scope, defining: Any) -> Any:
        if expr.op in ("and", "or"):
            left = self._truth(expr.left, scope, defining)
            return left if left == (expr.op == "or") else self._truth(expr.right, scope, defining)
        left, right = self.expr(expr.left, scope, defining), self.expr(expr.right, scope, defining)
        try:
            if expr.op in ("==", "!="):
                return (left == right) == (expr.op == "==")
            if expr.op in ("in", "not in"):
                return (left in right) == (expr.op == "in")
            if expr.op in ("<", "<=", ">", ">="):
                return self._compare(expr.op, left, right)
            if isinstance(left, Quantity) or isinstance(right, Quantity):
                return _quantities(expr.op, left, right)
            return arithmetic(expr.op, left, right)
        except (Misuse, TypeError, DecimalException, OverflowError) as error:
            what = (
                str(error) if isinstance(error, Misuse) else f"`{expr.op}` of {kind_name(left)} and {kind_name(right)}"
            )
            help = "write both sides as values of one type"
            if isinstance(error, Misuse) and isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
                help = "change one of the numbers"
            raise problem("LM0307", expr.span, f"this cannot be computed: {what}", help=help) from error

    @staticmethod
    def _compare(op: str, left: Any, right: Any) -> bool:
        if isinstance(left, Quantity) and isinstance(right, Quantity) and left.unit == right.unit:
            left, right = left.value, right.value
        order = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
        return bool(order[op])

    def _call(self, expr: tree.Call, scope: Scope, defining: Any) -> Any:
        name = expr.name.text
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            help = f"did you mean `{near[0]}`?" if near else f"functions are {', '.join(FUNCTIONS)}"
            edits = (Edit(expr.name.span, near[0]),) if near else ()
            raise problem("LM0306", expr.name.span, f"there is no function `{name}`", help=help, edits=edits)
        args = [self.expr(arg, scope, defining) for arg in expr.args]
        kwargs = {key.text: self.expr(arg, scope, defining) for key, arg in expr.kwargs}
        try:
            result = FUNCTIONS[name](*args, **kwargs)
        except Misuse as error:
            raise problem("LM0306", expr.span, f"`{name}` {error}") from error
        except (TypeError, DecimalException, ValueError) as error:
            raise problem("LM0306", expr.span, f"`{name}` cannot take these arguments") from error
        return self._placed(result, scope) if isinstance(result, PathValue) else result

    def _placed(self, value: PathValue, scope: Scope) -> PathValue:
        """Return a path written in a file as one relative to the root."""
        folder = scope.module.path.parent.resolve()
        path = os.path.relpath(folder / value.path, self.root)
        return evolve(value, path=Path(path).as_posix())


def _quantities(op: str, left: Any, right: Any) -> Quantity:
    if op in ("+", "-") and isinstance(left, Quantity) and isinstance(right, Quantity) and left.unit == right.unit:
        return Quantity(left.value + right.value if op == "+" else left.value - right.value, left.unit)
    if op in ("*", "/") and isinstance(left, Quantity) and not isinstance(right, Quantity):
        return Quantity(left.value * Decimal(right) if op == "*" else left.value / Decimal(right), left.unit)
    if op == "*" and isinstance(right, Quantity):
        return Quantity(right.value * Decimal(left), right.unit)
    raise Misuse(f"`{op}` of these units")
