"""Evaluation: late-bound expressions over the cells of a world, each computed once per values of the axes it reads."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from decimal import Decimal, DecimalException
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, evolve, field

from ...spec.diagnostic import Edit, Label
from ...spec.expr import Expr
from ...spec.schema import SPELLINGS, fields, hints, members, slot, variant_of
from ...spec.span import Source, Span
from ...spec.units import Pattern
from ..syntax import tree
from ..syntax.parse import parse_expression
from .cells import AnyExpr, AxisRead, BlockValue, Cell, Constant, Scope, Setting, is_map, spelled
from .declare import Decl, Module
from .functions import FUNCTIONS, UNSUPPORTED_FUNCTIONS, Misuse, arithmetic
from .late import late_expression
from .problems import POISON, Problem, problem
from .values import DeclRef, PartRef, PathValue, Quantity, convert, exact, kind_name, number, shown, typed

if TYPE_CHECKING:
    from .world import World

MISSING = object()
NOWHERE = Module(Path(), Source("", ""), tree.File((), (), Span(Source("", ""), 0, 0)))
"""The file of derived defaults: it has no names."""


@define(eq=False)
class Memo:
    """Values by the axes that they depend on.

    `point` holds the present value of every axis. A computation notes the axes that it reads; its result is kept
    under their values. A later computation of the same key with the same values would read the same and so is skipped.
    """

    point: list[Any] = field(factory=list)
    reading: list[set[int]] = field(factory=list)
    kept: dict[Any, tuple[tuple[int, ...], dict[tuple[Any, ...], Any]]] = field(factory=dict)

    def axis(self, number: int) -> Any:
        """Return the present value of an axis and note that it was read."""
        if self.reading:
            self.reading[-1].add(number)
        return self.point[number]

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


@define(eq=False)
class Evaluator:
    """Computes fields of cells and expressions in scopes."""

    world: World
    memo: Memo
    root: Path
    active: list[tuple[Cell, str]] = field(factory=list)

    def value(self, cell: Cell, name: str) -> Any:
        """Return the typed value of a field that is neither slot nor map. Raises Problem."""
        return self.memo.once((cell, name), lambda: self._value(cell, name))

    def _value(self, cell: Cell, name: str) -> Any:
        if (cell, name) in self.active:
            at = cell.fields.get(name)
            raise problem(
                "LM0305",
                at[-1].expr.span if at else cell.span,
                f"`{spelled(name)}` is defined by itself",
                help="its value needs its own value; break the circle",
            )
        self.active.append((cell, name))
        try:
            return self._settled(cell, name, cell.fields.get(name, []))
        finally:
            self.active.pop()

    def _settled(self, cell: Cell, name: str, settings: list[Setting]) -> Any:
        attribute = fields(cell.cls)[name]
        if not settings:
            return self.default(cell, name)
        top = settings[-1]
        if isinstance(top.expr, tree.Literal) and top.expr.word == "unset":
            return self.default(cell, name)
        if _is_late(cell.cls, name):
            return self._late(cell, name, top)
        if attribute.metadata["ref"]:
            return self._references(cell, name, settings)
        value = self.expr(top.expr, top.scope, (cell, name))
        if top.append:
            before = self._settled(cell, name, settings[:-1])
            if not isinstance(value, list):
                raise problem("LM0301", top.expr.span, f"`{name}` += needs a list", help="write [...]")
            value = [*before, *value]
        result = typed(value, cell.cls, name, top.expr.span, bool(attribute.metadata["many"]))
        self._validate(cell, name, result, top.expr.span)
        return result

    def _validate(self, cell: Cell, name: str, value: Any, span: Span) -> None:
        validator = fields(cell.cls)[name].validator
        if validator is None or value is None:
            return
        try:
            validator(None, fields(cell.cls)[name], value)
        except ValueError as error:
            bound = str(error).split("must be")[-1].split(":")[0].strip()
            raise problem("LM0303", span, f"`{name}` must be {bound}, got {shown(value)}") from error

    def _late(self, cell: Cell, name: str, setting: Setting) -> Any:
        assert not isinstance(setting.expr, Constant | AxisRead)
        if fields(cell.cls)[name].metadata["many"]:
            listed = setting.expr.items if isinstance(setting.expr, tree.ListExpr) else (setting.expr,)
            return tuple(late_expression(item, setting.scope) for item in listed)
        if isinstance(setting.expr, tree.Literal) and setting.expr.word == "none":
            return None
        return late_expression(setting.expr, setting.scope)

    def _references(self, cell: Cell, name: str, settings: list[Setting]) -> Any:
        attribute = fields(cell.cls)[name]
        top = settings[-1]
        value = self.expr(top.expr, top.scope, (cell, name))
        if isinstance(value, list) or attribute.metadata["many"] or str(hints(cell.cls)[name]).startswith("tuple["):
            listed = value if isinstance(value, list) else [value]
            return tuple(self._one_reference(attribute, item, top) for item in listed)
        if value is None and type(None) in members(hints(cell.cls)[name]):
            return None
        return self._one_reference(attribute, value, top)

    @staticmethod
    def _one_reference(attribute: attrs.Attribute[Any], value: Any, setting: Setting) -> Any:
        wanted = attribute.metadata["ref"]
        if isinstance(value, DeclRef | PartRef) and value.decl.poisoned:
            raise POISON
        kind = value.decl.kind if isinstance(value, DeclRef) else value.kind if isinstance(value, PartRef) else None
        accepted = {"source": ("train", "grid", "probe")}.get(wanted, (wanted,))
        if kind not in accepted:
            got = kind_name(value) if not isinstance(value, PartRef) else f"the {value.kind} `{value.name}`"
            message = f"`{spelled(attribute.name)}` needs a {' or '.join(accepted)}, got {got}"
            raise problem("LM0310", setting.expr.span, message)
        return value

    def default(self, cell: Cell, name: str) -> Any:
        """Return the value of a field that nothing was said about. Raises Problem (LM0209) if it needs one."""
        attribute = fields(cell.cls)[name]
        if attribute.metadata["derived"]:
            return self.derived(cell, name)
        if attribute.default is attrs.NOTHING:
            if cell.poisoned:
                raise POISON
            title = f"{cell.kind} `{cell.name}`" if cell.parent is None else f"`{cell.name}`"
            doc = attribute.metadata["doc"].rstrip(".")
            raise problem("LM0209", cell.span, f"{title} needs `{spelled(name)}`", help=f"{spelled(name)}: {doc}")
        default: Any = attribute.default
        return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]

    def derived(self, cell: Cell, name: str) -> Any:
        """Return what a derived default is here. Raises Problem."""
        return self.memo.once(("derived", cell, name), lambda: self._derived(cell, name))

    def _derived(self, cell: Cell, name: str) -> Any:
        if cell.poisoned:
            raise POISON
        text = fields(cell.cls)[name].metadata["derived"]
        scope = Scope(cell.chain(), NOWHERE)
        try:
            value = self.expr(derived_expression(text), scope, (cell, name))
        except Problem as error:
            if error.diagnostic is None or error.diagnostic.span is None or error.diagnostic.span.source.path:
                raise
            message = f"`{name}` is {text} unless it is set, and that has no value here"
            raise problem("LM0209", cell.span, message, help=f"set `{name}`, or what it is made from") from error
        return typed(value, cell.cls, name, cell.span, False)

    def expr(self, expr: AnyExpr, scope: Scope, defining: tuple[Cell, str] | None = None) -> Any:
        """Return the exact value of an expression. Raises Problem."""
        method = getattr(self, "_" + type(expr).__name__.lower())
        return method(expr, scope, defining)

    def _constant(self, expr: Constant, scope: Scope, defining: Any) -> Any:
        return DeclRef(expr.value) if isinstance(expr.value, Decl) else expr.value

    def _axisread(self, expr: AxisRead, scope: Scope, defining: Any) -> Any:
        return self.memo.axis(expr.axis).value

    def _number(self, expr: tree.Number, scope: Scope, defining: Any) -> Any:
        return number(expr)

    def _string(self, expr: tree.String, scope: Scope, defining: Any) -> Any:
        return Pattern(expr.value, True) if expr.prefix == "re" else expr.value

    def _fstring(self, expr: tree.FString, scope: Scope, defining: Any) -> str:
        return "".join(
            part if isinstance(part, str) else self._format(self.expr(part.expr, scope, defining), part)
            for part in expr.parts
        )

    @staticmethod
    def _format(value: Any, part: tree.Interpolation) -> str:
        if isinstance(value, bool) or value is None:
            value = shown(value)
        try:
            if isinstance(value, Decimal):
                value = float(value)
            return format(value, part.format)
        except (ValueError, TypeError) as error:
            raise problem("LM0307", part.span, f"`{part.format}` does not format {kind_name(value)}") from error

    def _literal(self, expr: tree.Literal, scope: Scope, defining: Any) -> Any:
        if expr.word == "unset":
            raise problem("LM0307", expr.span, "`unset` is no value", help="it stands alone: field = unset")
        return {"true": True, "false": False, "none": None}[expr.word]

    def _inline(self, expr: tree.Inline, scope: Scope, defining: Any) -> BlockValue:
        return BlockValue(expr, scope)

    def _listexpr(self, expr: tree.ListExpr, scope: Scope, defining: Any) -> list[Any]:
        return [self.expr(item, scope, defining) for item in expr.items]

    def _bad(self, expr: tree.Bad, scope: Scope, defining: Any) -> Any:
        raise POISON

    def _comprehension(self, expr: tree.Comprehension, scope: Scope, defining: Any) -> list[Any]:
        found = []
        for item in self.expr(expr.iterable, scope, defining):
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
            raise problem("LM0307", expr.span, f"this cannot be computed: {what}") from error

    @staticmethod
    def _compare(op: str, left: Any, right: Any) -> bool:
        if isinstance(left, Quantity) and isinstance(right, Quantity) and left.unit == right.unit:
            left, right = left.value, right.value
        order = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
        return bool(order[op])

    def _call(self, expr: tree.Call, scope: Scope, defining: Any) -> Any:
        name = expr.name.text
        if name in UNSUPPORTED_FUNCTIONS:
            raise problem("LM0212", expr.name.span, f"`{name}` is not supported by this version")
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            help = f"did you mean `{near[0]}`?" if near else f"functions are {', '.join(FUNCTIONS)}"
            raise problem("LM0306", expr.name.span, f"there is no function `{name}`", help=help)
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

    def _ref(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Any:
        place = self._head(expr, scope, defining)
        for part in expr.tail:
            place = self._member(place, part, expr, scope)
        return self._finished(place, expr)

    def _head(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Any:
        """Return what the first name stands for: a value, a cell, a declaration or a module."""
        name = expr.head.text
        for variable, value in scope.variables:
            if variable == name:
                return value
        top = scope.module.names.get(name)
        for cell in scope.cells:
            found = (
                MISSING
                if defining is not None and (cell, SPELLINGS.get(name, name)) == defining
                else self._own(cell, name)
            )
            if found is MISSING:
                continue
            if isinstance(top, Decl | tree.Let) and not (isinstance(top, Decl) and cell.root is top):
                help = f"write this.{name} for the field or file.{name} for the other"
                message = f"`{name}` is a field of `{cell.name}` and a name of the file"
                raise problem("LM0208", expr.head.span, message, help=help)
            return found()  # type: ignore[operator]
        if name == "this" and scope.cells:
            return scope.cells[0]
        if name == "file":
            return scope.module
        if top is None:
            raise self._undefined(expr, scope, defining)
        return self._declared(top, scope)

    def _declared(self, top: Any, scope: Scope) -> Any:
        if isinstance(top, tree.Let):
            module = next(m for m in self.world.modules if m.names.get(top.name.text) is top)
            key = ("let", id(top))
            return self.memo.once(key, lambda: self.expr(top.value, Scope((), module)))
        return top

    def _own(self, cell: Cell, name: str) -> Any:
        """Return how to get a cell's field, nested block or property of that name, or MISSING."""
        inner = cell.block_named(name)
        if inner is not None:
            return lambda: inner
        known = SPELLINGS.get(name, name)
        attribute = fields(cell.cls).get(known)
        if attribute is not None and not attribute.metadata["hidden"]:
            return lambda: self._field(cell, known)
        if isinstance(getattr(cell.cls, name, None), property):
            return lambda: exact(getattr(self.world.spec(cell), name))
        return MISSING

    def _field(self, cell: Cell, name: str) -> Any:
        if is_map(cell.cls, name):
            return {key: self.expr(s.expr, s.scope) for key, s in cell.maps.get(name, {}).items()}
        if name in cell.slots or (fields(cell.cls)[name].metadata["ref"] == "" and _is_slot(cell, name)):
            return cell.slot(name)
        value = self.value(cell, name)
        return list(value) if isinstance(value, tuple) else exact(value)

    def _member(self, place: Any, part: tree.Name | tree.Expr, expr: tree.Ref, scope: Scope) -> Any:
        if not isinstance(part, tree.Name):
            index = self.expr(part, scope)
            try:
                return place[index]
            except (TypeError, IndexError, KeyError) as error:
                raise problem("LM0307", part.span, f"there is no item {shown(index)}") from error
        if isinstance(place, Module):
            found = place.names.get(part.text)
            if found is None:
                raise problem("LM0207", part.span, f"`{expr.head.text}` has no `{part.text}`")
            return self._declared(found, scope)
        if isinstance(place, DeclRef):
            place = place.decl
        if isinstance(place, PartRef):
            place = self.world.instance(place.decl).block_named(place.name)
        if isinstance(place, Decl):
            place = self.world.instance(place)
        if not isinstance(place, Cell):
            reason = "is none" if place is None else f"is {kind_name(place)}"
            raise problem("LM0307", part.span, f"what stands before `.{part.text}` {reason} and has no fields")
        if part.text == "kind":
            return variant_of(place.cls)
        found = self._own(place, part.text)
        if found is MISSING:
            raise self._no_member(place, part)
        return found()

    @staticmethod
    def _no_member(cell: Cell, part: tree.Name) -> Problem:
        if cell.poisoned:
            return POISON
        known = [spelled(n) for n, a in fields(cell.cls).items() if not a.metadata["hidden"]]
        near = difflib.get_close_matches(part.text, known, 1)
        help = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known)}"
        edits = (Edit(part.span, near[0]),) if near else ()
        return problem("LM0207", part.span, f"{cell.what} has no `{part.text}`", help=help, edits=edits)

    @staticmethod
    def _finished(place: Any, expr: tree.Ref) -> Any:
        if isinstance(place, Decl):
            return DeclRef(place)
        if isinstance(place, Cell):
            if place.parent is None:
                return DeclRef(place.root)
            if place.parent.block_named(place.name) is place:
                return PartRef(place.root, place.name, place.kind)
            raise problem(
                "LM0307", expr.span, f"`{expr.dotted}` is a block, not a value", help="name one of its fields"
            )
        if isinstance(place, Module):
            raise problem("LM0307", expr.span, f"`{expr.dotted}` is a file, not a value")
        return place

    def _undefined(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Problem:
        name, span = expr.head.text, expr.head.span
        if any(isinstance(item, tree.Bad) for item in scope.module.file.items):
            return POISON
        if defining is not None and defining[1] == name:
            return problem(
                "LM0305", span, f"`{name}` is defined by itself", help="write the full path of the other one"
            )
        allowed: tuple[Any, ...] = ()
        if defining is not None:
            allowed = getattr(hints(defining[0].cls)[defining[1]], "__args__", ())
        if name in allowed or any(isinstance(a, str) for a in allowed):
            listed = ", ".join(f'"{a}"' for a in allowed)
            near = difflib.get_close_matches(name, [a for a in allowed if isinstance(a, str)], 1)
            label = f"bare words are references; `{defining[1]}` takes one of {listed}" if defining else ""
            edits = (Edit(span, f'"{near[0]}"'),) if near else ()
            help = f'quote it: "{near[0]}"' if near else "quote a value"
            return problem("LM0207", span, f"`{name}` is not defined", label=label, help=help, edits=edits)
        known = [*scope.module.names, *(spelled(n) for cell in scope.cells for n in fields(cell.cls))]
        near = difflib.get_close_matches(name, known, 1)
        help = f"did you mean `{near[0]}`?" if near else f'words are references; a value is quoted: "{name}"'
        edits = (Edit(span, near[0]),) if near else ()
        return problem("LM0207", span, f"`{name}` is not defined", help=help, edits=edits)


def _is_slot(cell: Cell, name: str) -> bool:
    return bool(slot(cell.cls, name))


@cache
def _is_late(cls: Any, name: str) -> bool:
    """Whether a field holds expressions that are evaluated after compilation."""
    annotation = hints(cls)[name]
    return annotation is Expr or Expr in members(annotation) or Expr in getattr(annotation, "__args__", ())


def _quantities(op: str, left: Any, right: Any) -> Quantity:
    if op in ("+", "-") and isinstance(left, Quantity) and isinstance(right, Quantity) and left.unit == right.unit:
        return Quantity(left.value + right.value if op == "+" else left.value - right.value, left.unit)
    if op in ("*", "/") and isinstance(left, Quantity) and not isinstance(right, Quantity):
        return Quantity(left.value * Decimal(right) if op == "*" else left.value / Decimal(right), left.unit)
    if op == "*" and isinstance(right, Quantity):
        return Quantity(right.value * Decimal(left), right.unit)
    raise Misuse(f"`{op}` of these units")


_DERIVED: dict[str, tree.Expr] = {}


def derived_expression(text: str) -> tree.Expr:
    """Return the parsed form of a schema's derived default."""
    if text not in _DERIVED:
        from ...spec.diagnostic import Diagnostics

        found = Diagnostics()
        _DERIVED[text] = parse_expression(Source("", text), found)
        assert not found.items, text
    return _DERIVED[text]


__all__ = ["Evaluator", "Label", "Memo", "convert"]
