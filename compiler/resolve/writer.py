"""Writing statements into cells: fields become settings, blocks go into slots, the rest goes on behind references."""

from __future__ import annotations

from typing import Protocol

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics
from ...spec.schema import SPELLINGS, fields, kind_of, referred, slot, variant_of
from ...spec.span import Span
from ..syntax import tree
from .cells import (
    AnyExpr,
    AxisStatement,
    BlockValue,
    Cell,
    Choice,
    Constant,
    Crossing,
    Late,
    Scope,
    Setting,
    is_map,
    takes_value,
)
from .choices import blocks_of
from .declare import Decl, unknown_variant


class Edits(Protocol):
    """Takes the statements that go on behind a reference."""

    @property
    def edits(self) -> list[Crossing]:
        """Statements that wait."""

    @property
    def diagnostics(self) -> Diagnostics:
        """Where mistakes go."""

    def chosen(self, cell: Cell, name: str, expr: AnyExpr, scope: Scope, cells: dict[int, Cell]) -> Cell | None:
        """Return which of `cells` an expression chooses for a slot."""


@frozen(eq=False)
class Writer:
    """Applies statements to cells."""

    edits: Edits

    @property
    def diagnostics(self) -> Diagnostics:
        """Where mistakes go."""
        return self.edits.diagnostics

    def apply(self, cell: Cell, items: tuple[tree.Item, ...], scope: Scope, origin: str) -> None:
        """Apply the statements of a body to a cell; later statements and calls are stronger."""
        for item in items:
            if isinstance(item, tree.Assign) and (block := item.as_block) is not None:
                self.block(cell, block, scope, origin)
            elif isinstance(item, tree.Assign):
                self.assign(cell, item.path, item.value, scope, origin, item.op == "+=", item)
            elif isinstance(item, tree.Block):
                self.block(cell, item, scope, origin)
            elif isinstance(item, tree.Assert):
                cell.asserts.append((item, scope))
            elif isinstance(item, tree.Let | tree.Import):
                what = "a constant" if isinstance(item, tree.Let) else "an import"
                message = f"{what} stands at top level"
                self.diagnostics.error("LM0214", item.name.span, message, help="move it out of the block")
            elif isinstance(item, tree.Bad):
                cell.poisoned = True

    def assign(
        self,
        cell: Cell,
        path: tuple[tree.Name, ...],
        expr: AnyExpr,
        scope: Scope,
        origin: str,
        append: bool,
        statement: tree.Assign | AxisStatement,
    ) -> None:
        """Apply `path = expr` to a cell."""
        head, rest = path[0], path[1:]
        name = SPELLINGS.get(head.text, head.text)
        known = fields(cell.cls).get(name)
        if head.text == "with" and not rest:
            return
        if known is None or known.metadata["hidden"]:
            inner = cell.block_named(head.text)
            if inner is not None and rest and inner.kind == "stage":
                onward = _behind(statement, rest)
                inner.late.append(Late(onward if isinstance(onward, AxisStatement) else (onward,), scope, origin))
            elif inner is not None and rest:
                self.assign(inner, rest, expr, scope, origin, append, statement)
            else:
                self.unknown_field(cell, head)
            return
        if rest and known.metadata["ref"]:
            self.edits.edits.append(Crossing(cell, name, _behind(statement, rest), scope, origin))
        elif is_map(cell.cls, name):
            self._assign_map(cell, name, head, rest, expr, scope, origin)
        elif slot(cell.cls, name):
            self._assign_slot(cell, name, head, rest, expr, scope, origin, append, statement)
        elif rest:
            self.diagnostics.error("LM0214", rest[0].span, f"`{head.text}` is a field without fields of its own")
        else:
            cell.fields.setdefault(name, []).append(Setting(expr, scope, head.span, origin, append))

    def _assign_map(
        self,
        cell: Cell,
        name: str,
        head: tree.Name,
        rest: tuple[tree.Name, ...],
        expr: AnyExpr,
        scope: Scope,
        origin: str,
    ) -> None:
        if len(rest) != 1:
            self.diagnostics.error("LM0214", head.span, f"`{head.text}` is a block of named values", help="write { }")
            return
        cell.maps.setdefault(name, {})[rest[0].text] = Setting(expr, scope, rest[0].span, origin)

    def _assign_slot(
        self,
        cell: Cell,
        name: str,
        head: tree.Name,
        rest: tuple[tree.Name, ...],
        expr: AnyExpr,
        scope: Scope,
        origin: str,
        append: bool,
        statement: tree.Assign | AxisStatement,
    ) -> None:
        if rest:
            for inner in (alternatives := self._opened(cell, name, head.span)):
                self.assign(inner, rest, expr, scope, origin, append, statement)
            if not alternatives:
                self.diagnostics.error("LM0209", head.span, f"`{head.text}` has no variant to set fields of")
            return
        value = expr.value if isinstance(expr, Constant) else expr
        if isinstance(value, tree.Inline):
            value = BlockValue(value, scope)
        branches = None if isinstance(value, BlockValue) else blocks_of(value, scope)
        if isinstance(value, BlockValue):
            cell.slots[name] = self._made(cell, name, value, origin)
        elif branches:
            self._choose(cell, name, expr, branches, scope, origin)
        elif isinstance(value, tree.Literal) and value.word == "unset":
            cell.slots.pop(name, None)
            cell.fields.pop(name, None)
        elif takes_value(cell.cls, name):
            cell.slots.pop(name, None)
            cell.fields.setdefault(name, []).append(Setting(expr, scope, head.span, origin, append))
        elif (isinstance(value, tree.Literal) and value.word == "none") or value is None:
            cell.slots[name] = None
        elif not isinstance(value, tree.Bad):
            variants = ", ".join(f"{v} {{ }}" for v in slot(cell.cls, name) if v)
            message = f"`{head.text}` takes a block"
            self.diagnostics.error("LM0214", expr.span, message, help=f"write one of {variants}" if variants else "")

    def _choose(
        self, cell: Cell, name: str, expr: AnyExpr, branches: list[BlockValue], scope: Scope, origin: str
    ) -> None:
        made = {id(block.inline): self._made(cell, name, block, origin) for block in branches}
        cells = {key: inner for key, inner in made.items() if inner is not None}
        cell.slots[name] = Choice(cells, lambda: self.edits.chosen(cell, name, expr, scope, cells))

    def _made(self, cell: Cell, name: str, value: BlockValue, origin: str) -> Cell | None:
        variant = value.inline.base.dotted or ""
        cls = slot(cell.cls, name).get(variant)
        if cls is None:
            unknown_variant(self._slot_kind(cell, name), variant, value.inline.base.span, self.diagnostics)
            cell.poisoned = True
            return None
        inner = Cell(cls, name, value.inline.base.span, cell.root, cell)
        self.apply(inner, value.inline.items, value.scope.inside(inner), origin)
        return inner

    @staticmethod
    def _slot_kind(cell: Cell, name: str) -> str:
        return kind_of(next(iter(slot(cell.cls, name).values())))

    def block(self, cell: Cell, block: tree.Block, scope: Scope, origin: str) -> None:
        """Apply a nested block to a cell."""
        name = SPELLINGS.get(block.kind.text, block.kind.text)
        repeated = next((f for f, a in fields(cell.cls).items() if a.metadata["repeat"] == name), None)
        known = fields(cell.cls).get(name)
        if repeated is not None:
            self._named(cell, repeated, block, scope, origin)
        elif known is None or known.metadata["hidden"]:
            self.unknown_field(cell, block.kind, block)
        elif known.metadata["ref"]:
            self._behind_reference(cell, name, block, scope, origin)
        elif is_map(cell.cls, name):
            for item in block.items:
                if isinstance(item, tree.Assign) and len(item.path) == 1:
                    key = item.path[0]
                    cell.maps.setdefault(name, {})[key.text] = Setting(item.value, scope, key.span, origin)
                elif isinstance(item, tree.Bad):
                    cell.poisoned = True
        elif slot(cell.cls, name):
            self._slot_block(cell, name, block, scope, origin)
        else:
            cell.poisoned = True
            message = f"`{block.kind.text}` is a field, not a block"
            self.diagnostics.error("LM0214", block.kind.span, message, help=f"write {block.kind.text} = ...")

    def _behind_reference(self, cell: Cell, name: str, block: tree.Block, scope: Scope, origin: str) -> None:
        if block.base is None:
            self.edits.edits.append(Crossing(cell, name, block, scope, origin))
            return
        kind = referred(fields(cell.cls)[name].metadata["ref"])[0]
        decl = Decl(kind, "", block.items, scope.module, block.span, block.kind.span, block.base, anonymous=True)
        cell.fields.setdefault(name, []).append(Setting(Constant(decl, block.span), scope, block.kind.span, origin))

    def _slot_block(self, cell: Cell, name: str, block: tree.Block, scope: Scope, origin: str) -> None:
        before = cell.alternatives(name) if block.base is not None else self._opened(cell, name, block.kind.span)
        if block.base is None:
            if not before:
                variants = ", ".join(v for v in slot(cell.cls, name) if v)
                message = f"`{name}` does not say which variant it is"
                self.diagnostics.error("LM0202", block.kind.span, message, help=f"write {name} : {variants}")
                cell.poisoned = True
                return
            written = before
        else:
            variant = block.base.dotted or ""
            cls = slot(cell.cls, name).get(variant)
            if cls is None:
                unknown_variant(self._slot_kind(cell, name), variant, block.base.span, self.diagnostics)
                cell.poisoned = True
                return
            inner = Cell(cls, name, block.kind.span, cell.root, cell)
            if before:
                self._keep_shared(before[0], inner, block.base.span)
            cell.slots[name] = inner
            written = [inner]
        for inner in written:
            self.apply(inner, block.items, scope.inside(inner), origin)

    @staticmethod
    def _opened(cell: Cell, name: str, span: Span) -> list[Cell]:
        """Return what a slot may hold, made where it holds nothing and there is one form of it: `on { }`."""
        found, forms = cell.alternatives(name), slot(cell.cls, name)
        if found or list(forms) != [""]:
            return found
        cell.slots[name] = inner = Cell(forms[""], name, span, cell.root, cell)
        return [inner]

    def _keep_shared(self, before: Cell, after: Cell, span: Span) -> None:
        """Carry over the fields that both variants have; a hint lists the rest."""
        after.fields = {name: list(s) for name, s in before.fields.items() if name in fields(after.cls)}
        shared = [name for name in before.named if name in fields(after.cls)]
        after.named = {
            name: {key: _moved(inner, after) for key, inner in before.named[name].items()} for name in shared
        }
        dropped = [name for name in (*before.fields, *before.named) if name not in fields(after.cls)]
        if dropped:
            message = f"`{variant_of(after.cls)}` has no {', '.join(dropped)}; what was set there is dropped"
            help = f"if it is to stay, keep `{variant_of(before.cls)}`; otherwise nothing is to be done"
            self.diagnostics.add(Diagnostic("LM0213", message, span, help=help, severity="hint"))

    def _named(self, cell: Cell, repeated: str, block: tree.Block, scope: Scope, origin: str) -> None:
        if block.name is None:
            cell.poisoned = True
            message = f"`{block.kind.text}` blocks are named"
            self.diagnostics.error("LM0210", block.kind.span, message, help=f"write {block.kind.text} NAME {{ ... }}")
            return
        blocks = cell.named.setdefault(repeated, {})
        variants = slot(cell.cls, repeated)
        variant = "" if block.base is None else block.base.dotted or ""
        if block.name.text not in blocks or block.base is not None:
            cls = variants.get(variant)
            if cls is None:
                unknown_variant(block.kind.text, variant, (block.base or block.kind).span, self.diagnostics)
                cell.poisoned = True
                return
            blocks[block.name.text] = Cell(cls, block.name.text, block.name.span, cell.root, cell)
        inner = blocks[block.name.text]
        if inner.kind == "stage":
            inner.late.append(Late(block.items, scope, origin))
            return
        self.apply(inner, block.items, scope.inside(inner), origin)

    def unknown_field(self, cell: Cell, name: tree.Name, block: tree.Block | None = None) -> None:
        """Record a field, or a nested block, that a block has not."""
        from .meant import meant  # only where there is a mistake

        cell.poisoned = True
        found, message = meant(cell, name, block), f"{cell.what} has no field `{name.text}`"
        self.diagnostics.error("LM0203", name.span, message, help=found.help, edits=found.edits)


def _moved(cell: Cell, parent: Cell) -> Cell:
    """Return a nested cell inside another one."""
    return evolve(cell, parent=parent)


def _behind(statement: tree.Assign | AxisStatement, rest: tuple[tree.Name, ...]) -> tree.Assign | AxisStatement:
    return evolve(statement, path=rest)
