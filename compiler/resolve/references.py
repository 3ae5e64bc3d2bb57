"""References: what a dotted name stands for, from the scope in which it was written."""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from ...spec.diagnostic import Edit
from ...spec.mesh import Mesh
from ...spec.schema import REGISTRY, SPELLINGS, fields, hints, referred, slot, variant_of
from ...spec.span import Span
from ..syntax import tree
from .cells import AnyExpr, AxisRead, Cell, Scope, is_map, spelled, takes_value
from .declare import Decl, Module
from .problems import Problem, poison, problem, unknown
from .values import DeclRef, PartRef, exact, kind_name, shown, type_name

if TYPE_CHECKING:
    from .memo import Memo
    from .world import World

MISSING = object()
DASHED = r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z_][A-Za-z0-9_]*)+"
"""What was meant as one name, and is a difference."""


@frozen
class Unread:
    """In place of a value that follows from what only a run reads."""

    what: str


@frozen
class Absent:
    """In place of a reference to nothing that counts as a default block: no mesh is a mesh of one device."""

    block: Any


@define(eq=False)
class References:
    """Walks names over cells, blocks and files of a world."""

    world: World
    memo: Memo

    @abstractmethod
    def value(self, cell: Cell, name: str) -> Any:
        """Return the typed value of a field."""

    @abstractmethod
    def expr(self, expr: AnyExpr, scope: Scope, defining: tuple[Cell, str] | None = None) -> Any:
        """Return the exact value of an expression."""

    def _ref(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Any:
        place = self._head(expr, scope, defining)
        return self._followed(place, expr.tail, expr, scope)

    def _followed(self, place: Any, tail: tuple[tree.Name | tree.Expr, ...], expr: tree.Ref, scope: Scope) -> Any:
        for number, part in enumerate(tail):
            if isinstance(place, Cell) and place.kind == "stage":
                world = self.world.border(place.root).stages[place.name]
                return world.evaluator._followed(world.root, tail[number:], expr, scope)
            place = self._member(place, part, expr, scope)
        return self._finished(place, expr)

    def _head(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Any:
        """Return what the first name stands for: a value, a cell, a declaration or a module."""
        name = expr.head.text
        for variable, value in scope.variables:
            if variable == name:
                return self.expr(value, scope) if isinstance(value, AxisRead) else value
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
            return lambda: self._property(cell, name)
        return MISSING

    def _property(self, cell: Cell, name: str) -> Any:
        value = getattr(self.world.spec(cell), name)
        return Unread("tokenizer") if value is None else exact(value)

    def _field(self, cell: Cell, name: str) -> Any:
        if is_map(cell.cls, name):
            return {key: self.expr(s.expr, s.scope) for key, s in cell.maps.get(name, {}).items()}
        if name in cell.slots or (fields(cell.cls)[name].metadata["ref"] == "" and is_slot(cell, name)):
            return cell.slot(name)
        value = self.value(cell, name)
        if value is None and (what := fields(cell.cls)[name].metadata["unknown"]):
            return Unread(what)
        if value is None and fields(cell.cls)[name].metadata["ref"] == "mesh":
            return Absent(Mesh())
        return list(value) if isinstance(value, tuple) else exact(value)

    def _member(self, place: Any, part: tree.Name | tree.Expr, expr: tree.Ref, scope: Scope) -> Any:
        if not isinstance(part, tree.Name):
            index = self.expr(part, scope)
            try:
                return place[index]
            except (TypeError, IndexError, KeyError) as error:
                items = len(place) if isinstance(place, list) else 0
                help = f"there are {items:,}, counted from 0" if items else "items are those of a list, counted from 0"
                raise problem("LM0307", part.span, f"there is no item {shown(index)}", help=help) from error
        if isinstance(place, Module):
            found = place.names.get(part.text)
            if found is None and not place.whole:
                raise poison()
            if found is None:
                near = difflib.get_close_matches(part.text, place.names, 1)
                help = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(place.names)}"
                edits = (Edit(part.span, near[0]),) if near else ()
                raise problem("LM0207", part.span, f"`{expr.head.text}` has no `{part.text}`", help=help, edits=edits)
            return self._declared(found, scope)
        if isinstance(place, DeclRef):
            place = place.decl
        if isinstance(place, PartRef):
            place = self.world.instance(place.decl).block_named(place.name)
        if isinstance(place, Decl):
            place = self.world.instance(place)
        if isinstance(place, Absent) and part.text in fields(type(place.block)):
            return exact(getattr(place.block, part.text))
        if not isinstance(place, Cell):
            reason = "is none" if place is None else f"is {kind_name(place)}"
            help = f"write it without `.{part.text}`, or name a block before it"
            message = f"what stands before `.{part.text}` {reason} and has no fields"
            raise problem("LM0307", part.span, message, help=help)
        if part.text == "kind":
            return variant_of(place.cls)
        found = self._own(place, part.text)
        if found is MISSING:
            raise self._no_member(place, part)
        return found()

    @staticmethod
    def _no_member(cell: Cell, part: tree.Name) -> Problem:
        if cell.poisoned:
            return poison()
        known = [spelled(n) for n, a in fields(cell.cls).items() if not a.metadata["hidden"]]
        known += [name for blocks in cell.named.values() for name in blocks]
        near = difflib.get_close_matches(part.text, known, 1)
        help = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known)}"
        edits = (Edit(part.span, near[0]),) if near else ()
        return problem("LM0207", part.span, f"{cell.what} has no `{part.text}`", help=help, edits=edits)

    @staticmethod
    def _finished(place: Any, expr: tree.Ref) -> Any:
        if isinstance(place, Absent):
            return None
        if isinstance(place, Unread):
            raise unknown(expr.span, expr.dotted or expr.head.text, place.what)
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
            help = "name one of its blocks or constants"
            raise problem("LM0307", expr.span, f"`{expr.dotted}` is a file, not a value", help=help)
        return place

    @staticmethod
    def _itself(expr: tree.Ref, cell: Cell) -> Problem:
        """Return the problem of a field that is set to its own name; blocks that the cell refers to may have it."""
        name, span = expr.head.text, expr.head.span
        paths = [
            f"{spelled(owner)}.{name}"
            for owner, attribute in fields(cell.cls).items()
            if not attribute.metadata["hidden"]
            and any(
                name in fields(cls)
                for kind in referred(attribute.metadata["ref"])
                for cls in REGISTRY.get(kind, {}).values()
            )
        ]
        help = f"write {' or '.join(paths)}, the full path" if paths else "write a value"
        edits = (Edit(span, paths[0]),) if len(paths) == 1 else ()
        return problem("LM0305", span, f"`{name}` is defined by itself", help=help, edits=edits)

    def _undefined(self, expr: tree.Ref, scope: Scope, defining: tuple[Cell, str] | None) -> Problem:
        name, span = expr.head.text, expr.head.span
        if not scope.module.whole:
            return poison()
        if defining is not None and defining[1] == name:
            return self._itself(expr, defining[0])
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
        wanted = "" if defining is None or expr.tail else fields(defining[0].cls)[defining[1]].metadata["ref"]
        kinds = referred(wanted) if wanted else ()
        blocks = [decl.name for decl in scope.module.decls if decl.kind in kinds]
        known = [*scope.module.names, *(spelled(n) for cell in scope.cells for n in fields(cell.cls))]
        if dashed := re.match(DASHED, span.source.text[span.start :]):
            plain = dashed.group().replace("-", "_")
            whole = Span(span.source, span.start, span.start + dashed.end())
            edits = (Edit(whole, plain),) if plain in (blocks if wanted else known) else ()
            return problem("LM0207", span, f"`{name}` is not defined", help=f"names have no `-`: {plain}", edits=edits)
        near = difflib.get_close_matches(name, blocks if wanted else known, 1)
        help = f"did you mean `{near[0]}`?" if near else _other_word(name, defining)
        if wanted and not near:
            help = f"write one of {', '.join(blocks)}" if blocks else f"write a {' or '.join(kinds)} of that name"
        edits = (Edit(span, near[0]),) if near else ()
        return problem("LM0207", span, f"`{name}` is not defined", help=help, edits=edits)


def _other_word(name: str, defining: tuple[Cell, str] | None) -> str:
    """Return what may be written in place of a word that nothing is called by: a quoted one, where texts are taken."""
    wanted = "" if defining is None else type_name(hints(defining[0].cls)[defining[1]])
    if defining is None or "Str" in wanted:
        return f'words are references; a value is quoted: "{name}"'
    return f"write a value ({wanted}), or the name of one"


def is_slot(cell: Cell, name: str) -> bool:
    """Whether a field of a cell holds a nested block."""
    return bool(slot(cell.cls, name)) and not (takes_value(cell.cls, name) and name not in cell.slots)
