"""What a name leads to: the cells of blocks as their declarations make them, and from cell to cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from ...spec.diagnostic import Diagnostics
from ...spec.schema import REGISTRY, SPELLINGS, fields, kind_of, slot, variant_of
from ...spec.span import Span
from ..resolve.cells import Cell, Scope, is_map, spelled
from ..resolve.declare import Decl, Module, find_block
from ..resolve.problems import Problem
from ..resolve.references import is_slot
from ..resolve.values import DeclRef, PartRef
from ..resolve.world import Program, World
from ..resolve.writer import Writer
from ..syntax import tree


@frozen
class Symbol:
    """What a name stands for; equal symbols are the same thing.

    `home` is where it is written (path and character) for what a file names: blocks, constants, imports, parts of a
    block, variables. For fields and properties it is kind and variant, for variants the kind.
    """

    role: str
    name: str
    home: tuple[Any, ...] = ()
    definition: Span | None = field(default=None, eq=False, repr=False)


@frozen(eq=False)
class Place:
    """A cell and the world that its values are read in."""

    cell: Cell
    world: World


Target = Place | Module | tree.Let | None
"""What the next name after a dot is looked up in."""


@define(eq=False)
class Places:
    """The cells of a program, each block in the world of its own: what is wrong in them is told elsewhere."""

    program: Program
    null: World = field(init=False)
    worlds: dict[Decl, World | None] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.program = evolve(self.program, diagnostics=Diagnostics(), amendments=())
        self.null = World(self.program, None)

    def of(self, decl: Decl, world: World | None = None) -> Place | None:
        """Return the cell of a block, as `world` has it; that of its target for a grid or an overlay."""
        target = self.target(decl)
        if target is not decl:
            return None if target is None else self.of(target, world)
        try:
            if decl.kind == "train":
                if decl not in self.worlds:
                    self.worlds[decl] = None
                    self.worlds[decl] = World(self.program, decl)
                own = self.worlds[decl]
                return None if own is None or own.root is None else Place(own.root, own)
            world = world or self.null
            return Place(world.instance(decl), world)
        except Problem:
            return None

    def target(self, decl: Decl, seen: tuple[Decl, ...] = ()) -> Decl | None:
        """Return the block whose scope a grid or an overlay opens; any other block itself."""
        if decl in seen:
            return None
        if decl.kind == "overlay":
            found = None if decl.base is None else find_block(decl.module, decl.base)
            return self.target(found, (*seen, decl)) if isinstance(found, Decl) else None
        if decl.kind == "grid":
            base = base_of(decl)
            return self.target(base, (*seen, decl)) if isinstance(base, Decl) and base.kind == "train" else None
        return decl

    def member(self, place: Place, name: str) -> tuple[Symbol | None, Target]:
        """Return what a name stands for within a block, and what follows behind it."""
        cell, world = place.cell, place.world
        part = cell.block_named(name)
        if part is not None:
            symbol = part_symbol(cell, name)
            if part.kind == "stage" and world.root is not None:
                return symbol, Place(world.root, world)
            return symbol, Place(part, world)
        known = SPELLINGS.get(name, name)
        attribute = fields(cell.cls).get(known)
        if attribute is not None and not attribute.metadata["hidden"]:
            return field_symbol(cell, known), self._behind(place, known)
        if name == "kind" or isinstance(getattr(cell.cls, name, None), property):
            return Symbol("property", name, (kind_of(cell.cls), variant_of(cell.cls))), None
        return None, None

    def _behind(self, place: Place, name: str) -> Target:
        cell, world = place.cell, place.world
        if is_map(cell.cls, name):
            return None
        if name in cell.slots or (not fields(cell.cls)[name].metadata["ref"] and is_slot(cell, name)):
            inner = cell.slot(name)
            return None if inner is None else Place(inner, world)
        if not fields(cell.cls)[name].metadata["ref"]:
            return None
        try:
            value = world.evaluator.value(cell, name)
            if isinstance(value, PartRef):
                owner = self.of(value.decl, world)
                part = None if owner is None else owner.cell.block_named(value.name)
                return None if part is None or owner is None else Place(part, owner.world)
            return self.of(value.decl, world) if isinstance(value, DeclRef) else None
        except Problem:
            return None

    def inside(self, place: Place, kind: str, name: str | None, base: str | None) -> Place | None:
        """Return the place of the statements of a nested block `kind name : base { }`."""
        cell, world = place.cell, place.world
        known = SPELLINGS.get(kind, kind)
        repeated = repeated_field(cell, known)
        if repeated is not None:
            part = cell.block_named(name or "")
            cls = slot(cell.cls, repeated).get(base or "")
            if part is not None and part.kind == "stage":
                return None if world.root is None else Place(world.root, world)
            if part is not None and (base is None or part.cls is cls):
                return Place(part, world)
            return None if cls is None else Place(Cell(cls, name or "", cell.span, cell.root, cell), world)
        attribute = fields(cell.cls).get(known)
        if attribute is None or is_map(cell.cls, known):
            return None
        if attribute.metadata["ref"]:
            found = self._behind(place, known)
            return found if isinstance(found, Place) else None
        inner = cell.slot(known) if slot(cell.cls, known) else None
        cls = slot(cell.cls, known).get(base or "")
        if inner is not None and (base is None or inner.cls is cls):
            return Place(inner, world)
        return None if cls is None else Place(Cell(cls, known, cell.span, cell.root, cell), world)

    def inline(self, place: Place, name: str, inline: tree.Inline, scope: Scope) -> Place | None:
        """Return the place of the statements of `variant { }` as a value of a field."""
        cls = slot(place.cell.cls, name).get(inline.base.dotted or "")
        if cls is None:
            return None
        inner = Cell(cls, name, inline.span, place.cell.root, place.cell)
        Writer(self.null).apply(inner, inline.items, scope.inside(inner), "")
        self.null.edits.clear()
        return Place(inner, place.world)


def base_of(decl: Decl) -> Decl | Module | tree.Let | None:
    """Return what `base` of a grid names, its own or that of a grid that it starts from."""
    for part in reversed(decl.chain):
        for item in part.items:
            if isinstance(item, tree.Assign) and item.dotted == "base" and isinstance(item.value, tree.Ref):
                return find_block(part.module, item.value)
    return None


def repeated_field(cell: Cell, keyword: str) -> str | None:
    """Return the field that collects the blocks of a keyword."""
    return next((name for name, a in fields(cell.cls).items() if a.metadata["repeat"] == keyword), None)


def part_symbol(cell: Cell, name: str) -> Symbol:
    """Return the symbol of a repeated block: its home is the weakest block of the chain that writes it."""
    for decl in cell.root.chain:
        for block in _blocks(decl.items):
            if block.name is not None and block.name.text == name:
                return Symbol("part", name, place_of(block.name.span), block.name.span)
    return Symbol("part", name, place_of(cell.root.name_span))


def _blocks(items: tuple[tree.Item, ...]) -> Iterator[tree.Block]:
    for item in items:
        if isinstance(item, tree.Block):
            yield item
            yield from _blocks(item.items)


def field_symbol(cell: Cell, name: str) -> Symbol:
    """Return the symbol of a field."""
    return Symbol("field", spelled(name), (kind_of(cell.cls), variant_of(cell.cls)))


def declared_symbol(found: Decl | Module | tree.Let, name: str, names: dict[str, Span]) -> Symbol:
    """Return the symbol of a name of a file; `names` says where imports are named."""
    if isinstance(found, Decl) and not found.unread:
        return Symbol("block", found.name, place_of(found.name_span), found.name_span)
    if isinstance(found, tree.Let):
        return Symbol("let", found.name.text, place_of(found.name.span), found.name.span)
    span = found.name_span if isinstance(found, Decl) else names.get(name, Span(found.source, 0, 0))
    return Symbol("import", name, place_of(span), span)


def place_of(span: Span) -> tuple[str, int]:
    """Return a span as a home."""
    return span.source.path, span.start


def variant_symbol(kind: str, name: str) -> Symbol | None:
    """Return the symbol of a variant, or None if the kind has no such variant."""
    return Symbol("variant", name, (kind,)) if name in REGISTRY.get(kind, {}) else None
