"""What every name of a program stands for, in the order of the text."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import define, evolve, field, frozen

from ...spec.schema import SPELLINGS, fields, kind_of, referred, slot, variant_of
from ...spec.span import Span
from ..resolve.cells import is_map
from ..resolve.declare import Decl, Module, find_block
from ..resolve.draft import STATEMENTS
from ..resolve.evaluate import is_late
from ..resolve.references import is_slot
from ..resolve.world import Program
from ..syntax import tree
from .lookup import Lookup, View
from .places import Place, Symbol, Target, declared_symbol, place_of, repeated_field, variant_symbol


@frozen
class Occurrence:
    """A name in the text. `place` is the block that has it, for fields; `defines` where the symbol is made."""

    span: Span
    symbol: Symbol
    place: Place | None = field(default=None, eq=False, repr=False)
    defines: bool = False


@define(eq=False, slots=False)
class Names:
    """The names of the files of a program."""

    program: Program
    lookup: Lookup = field(init=False)
    _found: list[Occurrence] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.lookup = Lookup(self.program)

    @cached_property
    def all(self) -> Mapping[str, tuple[Occurrence, ...]]:
        """The names of each file, by the path of its source."""
        found = {}
        for module in self.program.modules:
            self._found = []
            self._file(module)
            once = {o.span.start: o for o in reversed(self._found) if o.span.start < o.span.end}
            found[module.source.path] = tuple(sorted(once.values(), key=lambda o: o.span.start))
        return found

    def of(self, path: str) -> tuple[Occurrence, ...]:
        """Return the names of a file."""
        return self.all.get(path, ())

    def at(self, path: str, offset: int) -> Occurrence | None:
        """Return the name that is at, or ends at, a character of a file."""
        found = self.of(path)
        number = bisect.bisect_right(found, offset, key=lambda o: o.span.start)
        for occurrence in found[max(0, number - 1) : number]:
            if occurrence.span.start <= offset <= occurrence.span.end:
                return occurrence
        return None

    def _add(self, span: Span, symbol: Symbol | None, place: Place | None = None, defines: bool = False) -> None:
        if symbol is not None:
            self._found.append(Occurrence(span, symbol, place, defines))

    def _file(self, module: Module) -> None:
        view = View(module)
        for item in module.file.items:
            if isinstance(item, tree.Import):
                target = module.names.get(item.name.text)
                if isinstance(target, Module):
                    start = Span(target.source, 0, 0)
                    self._add(item.path.span, Symbol("file", item.path.value, (target.source.path,), start))
                home = place_of(item.name.span)
                self._add(item.name.span, Symbol("import", item.name.text, home, item.name.span), defines=True)
            elif isinstance(item, tree.Let):
                home = place_of(item.name.span)
                self._add(item.name.span, Symbol("let", item.name.text, home, item.name.span), defines=True)
                self._expr(item.value, view)
            elif isinstance(item, tree.Assert):
                self._assert(item, view)
            elif isinstance(item, tree.Assign):
                self._add(item.path[0].span, Symbol("keyword", item.path[0].text))
            elif isinstance(item, tree.Block):
                self._top(item, module)

    def _top(self, block: tree.Block, module: Module) -> None:
        self._add(block.kind.span, Symbol("kind", block.kind.text))
        if block.name is None:
            return
        named = module.names.get(block.name.text)
        decl = named if isinstance(named, Decl) and named.span == block.span else None
        home = place_of(block.name.span)
        self._add(block.name.span, Symbol("block", block.name.text, home, block.name.span), defines=True)
        if block.base is not None:
            self._base(block.base, block.kind.text, module, decl)
        target = decl
        if decl is not None and decl.kind == "overlay" and decl.base is not None:
            found = find_block(module, decl.base)
            target = found if isinstance(found, Decl) else None
        view = self.lookup.block_view(module, decl, target)
        if target is not None and target.kind == "grid":
            self._grid(block.items, view, target)
        else:
            self._items(block.items, view)

    def _base(self, ref: tree.Ref, kind: str, module: Module, own: Decl | None = None) -> None:
        found = find_block(module, ref)
        block = isinstance(found, Decl) and found is not own and (found.kind == kind or kind == "overlay")
        variant = variant_symbol(kind, ref.dotted or "")
        if block or variant is None:
            self._ref(ref, View(module))
        else:
            self._add(ref.span, variant)

    def _grid(self, items: tuple[tree.Item, ...], view: View, grid: Decl) -> None:
        for item in items:
            word = (
                item.path[0] if isinstance(item, tree.Assign) else item.kind if isinstance(item, tree.Block) else None
            )
            if word is None or word.text not in STATEMENTS or not isinstance(item, tree.Assign | tree.Block):
                self._items((item,), view)
                continue
            self._add(word.span, Symbol("field", word.text, ("grid", "")))
            if isinstance(item, tree.Assign):
                self._path(item.path[1:], view)
                outside = View(view.module) if word.text in ("base", "with") else view
                self._expr(item.value, outside)
            elif word.text == "draw":
                self._draw(item, view)
            elif item.name is not None:
                symbol = _step(item.name, grid)
                self._add(item.name.span, symbol, defines=symbol.home == place_of(item.name.span))
                self._items(item.items, view)
            else:
                self._items(item.items, view)

    def _draw(self, block: tree.Block, view: View) -> None:
        for item in block.items:
            if isinstance(item, tree.Assign):
                self._add(item.path[0].span, Symbol("field", item.path[0].text, ("draw", "")))
                self._expr(item.value, view)

    def _items(self, items: tuple[tree.Item, ...], view: View) -> None:
        for item in items:
            if isinstance(item, tree.Assign):
                owner, name = self._path(item.path, view)
                self._value(item.value, view, owner, name)
            elif isinstance(item, tree.Block):
                self._block(item, view)
            elif isinstance(item, tree.Assert):
                self._assert(item, view)
            elif isinstance(item, tree.Let):
                self._add(item.name.span, view.variables.get(item.name.text), defines=True)
                self._expr(item.value, view)

    def _assert(self, item: tree.Assert, view: View) -> None:
        self._expr(item.condition, view)
        if item.message is not None:
            self._expr(item.message, view)

    def _path(self, path: tuple[tree.Name, ...], view: View) -> tuple[Place | None, str | None]:
        """Add the names of a path on the left of `=`; return the block and the field that it leads to."""
        at: Target = view.places[0] if view.places else None
        owner, name = None, None
        for part in path:
            if not isinstance(at, Place):
                return None, None
            owner, name = at, SPELLINGS.get(part.text, part.text)
            symbol, at = self.lookup.places.member(at, part.text)
            self._add(part.span, symbol, owner)
        return owner, name

    def _block(self, block: tree.Block, view: View) -> None:
        owner = view.places[0] if view.places else None
        base = None if block.base is None else block.base.dotted
        if owner is None:
            self._items(block.items, evolve(view, places=()))
            return
        kind, name = SPELLINGS.get(block.kind.text, block.kind.text), None if block.name is None else block.name.text
        repeated = repeated_field(owner.cell, kind)
        held = repeated or kind
        if repeated is not None:
            self._add(
                block.kind.span, Symbol("field", kind, (kind_of(owner.cell.cls), variant_of(owner.cell.cls))), owner
            )
        else:
            self._add(block.kind.span, self.lookup.places.member(owner, kind)[0], owner)
        if block.name is not None and repeated is not None:
            symbol = self.lookup.places.member(owner, block.name.text)[0]
            defines = symbol is not None and symbol.home == place_of(block.name.span)
            self._add(block.name.span, symbol, owner, defines)
        known = fields(owner.cell.cls).get(held)
        if block.base is not None and known is not None:
            if known.metadata["ref"]:
                self._base(block.base, referred(known.metadata["ref"])[0], view.module)
            else:
                forms = slot(owner.cell.cls, held)
                self._add(block.base.span, _variant(forms, block.base))
        if known is not None and is_map(owner.cell.cls, held):
            for item in block.items:
                if isinstance(item, tree.Assign):
                    self._add(item.path[0].span, Symbol("key", item.path[0].text))
                    self._expr(item.value, view)
            return
        inner = self.lookup.places.inside(owner, kind, name, base)
        self._items(block.items, evolve(view, places=()) if inner is None else view.inside(inner))

    def _value(self, expr: tree.Expr, view: View, owner: Place | None, name: str | None) -> None:
        """Add the names of the value of a field."""
        known = None if owner is None or name is None else fields(owner.cell.cls).get(name)
        if owner is None or name is None or known is None:
            self._expr(expr, view)
        elif isinstance(expr, tree.Inline) and slot(owner.cell.cls, name):
            self._add(expr.base.span, _variant(slot(owner.cell.cls, name), expr.base))
            inner = self.lookup.places.inline(owner, name, expr, view.scope)
            self._items(expr.items, view.inside(inner) if inner is not None else View(view.module))
        elif isinstance(expr, tree.ListExpr):
            for item in expr.items:
                self._value(item, view, owner, name)
        elif isinstance(expr, tree.Cond):
            self._value(expr.then, view, owner, name)
            self._expr(expr.condition, view)
            self._value(expr.other, view, owner, name)
        elif is_slot(owner.cell, name) or not is_late(owner.cell.cls, name):
            self._expr(expr, view, (owner, name))
        else:
            self._expr(expr, self.lookup.over_results(view))

    def _expr(self, expr: Any, view: View, defining: tuple[Place, str] | None = None) -> None:
        if isinstance(expr, tree.Ref):
            self._ref(expr, view, defining)
        elif isinstance(expr, tree.Call):
            self._add(expr.name.span, Symbol("function", expr.name.text))
            for argument in (*expr.args, *(value for _, value in expr.kwargs)):
                self._expr(argument, view, defining)
        elif isinstance(expr, tree.Comprehension):
            name = expr.name
            symbol = Symbol("variable", name.text, place_of(name.span), name.span)
            self._expr(expr.iterable, view, defining)
            self._add(name.span, symbol, defines=True)
            inner = evolve(view, variables={**view.variables, name.text: symbol})
            for part in (expr.body, expr.condition):
                self._expr(part, inner, defining)
        elif isinstance(expr, tree.Inline):
            self._items(expr.items, View(view.module))
        else:
            for part in _operands(expr):
                self._expr(part, view, defining)

    def _ref(self, ref: tree.Ref, view: View, defining: tuple[Place, str] | None = None) -> None:
        symbol, at, owner = self.lookup.head(ref, view, defining)
        if symbol == Symbol("column", ref.dotted or ""):
            for name in (ref.head, *(part for part in ref.tail if isinstance(part, tree.Name))):
                self._add(name.span, symbol)
            return
        self._add(ref.head.span, symbol, owner)
        for part in ref.tail:
            if not isinstance(part, tree.Name):
                self._expr(part, view, defining)
                at = None
                continue
            symbol, at, owner = self.lookup.follow(at, part.text)
            if symbol is None and view.late:
                symbol = self._metric(ref.head.text, part.text, view.module)
            self._add(part.span, symbol, owner)

    def _metric(self, of: str, name: str, module: Module) -> Symbol:
        """Return what a name of an evaluation's results stands for: calls of each protocol are told by its name."""
        found = module.names.get(name)
        spoken = isinstance(found, Decl) and found.kind == "protocol"
        return declared_symbol(found, name, {}) if spoken and found is not None else Symbol("column", name, (of,))


def _step(name: tree.Name, grid: Decl) -> Symbol:
    """Return the symbol of a `zip` block: its home is the weakest grid of the chain that writes it."""
    blocks = [item for decl in grid.chain for item in decl.items if isinstance(item, tree.Block)]
    named = [b.name for b in blocks if b.kind.text == "zip" and b.name is not None and b.name.text == name.text]
    first = named[0] if named else name
    return Symbol("part", name.text, place_of(first.span), first.span)


def _variant(forms: Mapping[str, type], ref: tree.Ref) -> Symbol | None:
    cls = forms.get(ref.dotted or "")
    return None if cls is None else Symbol("variant", ref.dotted or "", (kind_of(cls),))


def _operands(expr: Any) -> Iterator[Any]:
    if isinstance(expr, tree.FString):
        yield from (part.expr for part in expr.parts if not isinstance(part, str))
    elif isinstance(expr, tree.ListExpr):
        yield from expr.items
    elif isinstance(expr, tree.Unary):
        yield expr.operand
    elif isinstance(expr, tree.Binary):
        yield from (expr.left, expr.right)
    elif isinstance(expr, tree.Cond):
        yield from (expr.then, expr.condition, expr.other)
