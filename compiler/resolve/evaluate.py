"""Evaluation: late-bound fields over the cells of a world, each computed once per values of the axes it reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from ...spec.diagnostic import Edit
from ...spec.expr import Expr
from ...spec.schema import fields, hints, members, referred
from ...spec.span import Source, Span
from ..syntax import tree
from ..syntax.parse import parse_expression
from .cells import AnyExpr, AxisRead, BlockValue, Cell, Constant, Scope, Setting, spelled
from .declare import Module
from .expressions import Expressions
from .late import late_expression
from .lengths import is_unknown
from .problems import Problem, Unknown, poison, problem
from .stages import total
from .values import DeclRef, PartRef, kind_name, shown, typed
from .whole import check_whole

NOWHERE = Module(Path(), Source("", ""), tree.File((), (), Span(Source("", ""), 0, 0)))
"""The file of derived defaults: it has no names."""


@define(eq=False)
class Evaluator(Expressions):
    """Computes fields of cells and expressions in scopes."""

    active: list[tuple[Cell, str]] = field(factory=list)

    def value(self, cell: Cell, name: str) -> Any:
        """Return the typed value of a field that is neither slot nor map. Raises Problem."""
        return self.memo.once((cell, name), lambda: self._value(cell, name))

    def _value(self, cell: Cell, name: str) -> Any:
        at = cell.fields.get(name, [])
        span = at[-1].expr.span if at else cell.span
        return self._guarded(cell, name, span, lambda: self._settled(cell, name, at))

    def _guarded(self, cell: Cell, name: str, span: Span, compute: Callable[[], Any]) -> Any:
        """Return compute(). Raises Problem (LM0305) if that needs this very field."""
        if (cell, name) in self.active:
            message, help = f"`{spelled(name)}` is defined by itself", "its value needs its own value; break the circle"
            raise problem("LM0305", span, message, help=help)
        self.active.append((cell, name))
        try:
            return compute()
        finally:
            self.active.pop()

    def chosen(self, cell: Cell, name: str, expr: AnyExpr, scope: Scope, cells: dict[int, Cell]) -> Cell | None:
        """Return which of `cells`, by the id of their trees, an expression chooses. Raises Problem."""
        value = self._guarded(cell, name, expr.span, lambda: self.expr(expr, scope, (cell, name)))
        return cells[id(value.inline)] if isinstance(value, BlockValue) else None

    def _settled(self, cell: Cell, name: str, settings: list[Setting]) -> Any:
        attribute = fields(cell.cls)[name]
        if not settings:
            return self.default(cell, name)
        top = settings[-1]
        if isinstance(top.expr, tree.Literal) and top.expr.word == "unset":
            return self.default(cell, name)
        if is_late(cell.cls, name):
            return self._late(cell, name, top)
        if attribute.metadata["ref"]:
            return self._references(cell, name, settings)
        value = self.expr(top.expr, top.scope, (cell, name))
        if top.append:
            before = self._settled(cell, name, settings[:-1])
            if not isinstance(value, list):
                raise problem("LM0301", top.expr.span, f"`{name}` += needs a list", help="write [...]")
            value = [*before, *value]
        check_whole(top.expr, value, cell.cls, name)
        result = typed(value, cell.cls, name, top.expr.span, bool(attribute.metadata["many"]))
        if result is None and attribute.metadata["unknown"] == "examples":
            raise problem("LM0301", top.expr.span, f"`{name}` needs an Int, got none", help=f"write {name} = unset")
        self._validate(cell, name, result, top.expr.span)
        return result

    def _validate(self, cell: Cell, name: str, value: Any, span: Span) -> None:
        validator = fields(cell.cls)[name].validator
        if validator is None or value is None:
            return
        try:
            validator(None, fields(cell.cls)[name], value)
        except ValueError as error:
            bound = _in_words(str(error).split("must be")[-1].split(":")[0].strip())
            where = {"at least": "raise it", "above": "raise it", "at most": "lower it", "below": "lower it"}
            todo = next((where[start] for start in where if bound.startswith(start)), "write another value")
            help = f"{todo} ({fields(cell.cls)[name].metadata['doc'].rstrip('.')})"
            raise problem("LM0303", span, f"`{name}` must be {bound}, got {shown(value)}", help=help) from error

    def _late(self, cell: Cell, name: str, setting: Setting) -> Any:
        if isinstance(setting.expr, Constant | AxisRead):
            message = f"`{name}` is read while a run goes on or behind it: no axis varies it"
            help = "write a block for each, derived from the base: train early : base { stop.when = ... }"
            raise problem("LM0501", setting.expr.span, message, help=help)
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
        options = members(hints(cell.cls)[name])
        several = attribute.metadata["many"] or options[0] not in (str, type(None))
        if several or (isinstance(value, list) and len(options) > 1 and type(None) not in options):
            listed = value if isinstance(value, list) else [value]
            return tuple(self._one_reference(attribute, item, top) for item in listed)
        if value is None and type(None) in members(hints(cell.cls)[name]):
            return None
        return self._one_reference(attribute, value, top)

    @staticmethod
    def _one_reference(attribute: attrs.Attribute[Any], value: Any, setting: Setting) -> Any:
        wanted = attribute.metadata["ref"]
        if isinstance(value, DeclRef | PartRef) and value.decl.poisoned:
            raise poison()
        kind = value.decl.kind if isinstance(value, DeclRef) else value.kind if isinstance(value, PartRef) else None
        accepted = referred(wanted)
        if kind not in accepted:
            got = kind_name(value) if not isinstance(value, PartRef) else f"the {value.kind} `{value.name}`"
            message = f"`{spelled(attribute.name)}` needs a {' or '.join(accepted)}, got {got}"
            blocks = [decl.name for decl in setting.scope.module.decls if decl.kind in accepted]
            help = f"name one of {', '.join(blocks)}" if blocks else f"write a {accepted[0]} first"
            edits = (Edit(setting.expr.span, blocks[0]),) if len(blocks) == 1 else ()
            help = f"write `{blocks[0]}`" if edits else help
            raise problem("LM0310", setting.expr.span, message, help=help, edits=edits)
        return value

    def default(self, cell: Cell, name: str) -> Any:
        """Return the value of a field that nothing was said about. Raises Problem (LM0209) if it needs one."""
        attribute = fields(cell.cls)[name]
        if attribute.metadata["derived"]:
            return self.derived(cell, name)
        if attribute.default is attrs.NOTHING:
            if cell.spoiled:
                raise poison()
            title = f"{cell.kind} `{cell.name}`" if cell.parent is None else f"`{cell.name}`"
            help = f"add {spelled(name)} = ... ({attribute.metadata['doc'].rstrip('.')})"
            raise problem("LM0209", cell.span, f"{title} needs `{spelled(name)}`", help=help)
        default: Any = attribute.default
        return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]

    def derived(self, cell: Cell, name: str) -> Any:
        """Return what a derived default is here. Raises Problem."""
        return self.memo.once(("derived", cell, name), lambda: self._derived(cell, name))

    def _derived(self, cell: Cell, name: str) -> Any:
        if cell.poisoned:
            raise poison()
        if cell.kind == "train" and is_unknown(cell, name, name != "epochs" and self.value(cell, "epochs") is not None):
            return None
        if (summed := total(self.world, cell, name)) is not None:
            return typed(summed, cell.cls, name, cell.span, False)
        text, unknown = (fields(cell.cls)[name].metadata[key] for key in ("derived", "unknown"))
        chain, root = cell.chain(), self.world.root
        scope = Scope(chain if root is None or root in chain else (*chain, root), NOWHERE)
        try:
            value = self.expr(derived_expression(text), scope, (cell, name))
        except Problem as error:
            if unknown and isinstance(error, Unknown):
                return None
            if error.diagnostic is None or error.diagnostic.span is None or error.diagnostic.span.source.path:
                raise
            message = f"`{name}` is {text} unless it is set, and that has no value here"
            raise problem("LM0209", cell.span, message, help=f"set `{name}`, or what it is made from") from error
        return typed(value, cell.cls, name, cell.span, False)


def _in_words(bound: str) -> str:
    """Return what attrs says of a bound, `>= 1.0`, as a user would: at least 1."""
    for sign, words in ((">=", "at least"), ("<=", "at most"), (">", "above"), ("<", "below")):
        if bound.startswith(f"{sign} "):
            return f"{words} {bound[len(sign) :].strip().removesuffix('.0')}"
    return bound


@cache
def is_late(cls: Any, name: str) -> bool:
    """Whether a field holds expressions that are evaluated after compilation."""
    annotation = hints(cls)[name]
    return annotation is Expr or Expr in members(annotation) or Expr in getattr(annotation, "__args__", ())


_DERIVED: dict[str, tree.Expr] = {}


def derived_expression(text: str) -> tree.Expr:
    """Return the parsed form of a schema's derived default."""
    if text not in _DERIVED:
        from ...spec.diagnostic import Diagnostics

        found = Diagnostics()
        _DERIVED[text] = parse_expression(Source("", text), found)
        assert not found.items, text
    return _DERIVED[text]
