"""What is around a cursor in the terms of the program: the block, and what names are looked up in."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from ...spec.schema import REGISTRY, SPELLINGS, fields, slot
from ...spec.span import Span
from ..resolve.cells import Cell, is_map
from ..resolve.declare import Decl, Module
from ..resolve.draft import STATEMENTS
from ..syntax import tree
from .cursor import Cursor, Header
from .lookup import Lookup, View
from .places import Place, repeated_field


@frozen(eq=False)
class Surroundings:
    """What is around a cursor.

    Attributes:
        view: what names are looked up in; its first place is the block. grid: whether statements of a grid stand here.
        axes: whether paths into the base of a grid stand on the left. keys: whether the block has free keys.
        top: whether this is no block at all.
    """

    view: View
    grid: bool = False
    axes: bool = False
    keys: bool = False
    top: bool = False

    @property
    def place(self) -> Place | None:
        """The innermost block."""
        return self.view.places[0] if self.view.places else None


def surroundings(lookup: Lookup, cursor: Cursor) -> Surroundings:
    """Return what is around a cursor of the main file."""
    module = lookup.program.main
    if not cursor.blocks:
        return Surroundings(View(module), top=True)
    decl = _declared(module, cursor.blocks[0])
    target = _target(lookup, module, decl, cursor.blocks[0])
    view = lookup.block_view(module, decl, target)
    found = Surroundings(view, grid=target is not None and target.kind == "grid")
    for header in cursor.blocks[1:]:
        found = _inside(lookup, found, header)
    return found


def _declared(module: Module, header: Header) -> Decl | None:
    """Return the block that a header begins; one that does not parse yet is made up from the header."""
    known = module.names.get(header.name or "")
    if isinstance(known, Decl) and known.kind == header.kind and not known.poisoned:
        return known
    span = Span(module.source, 0, 0)
    based = _reference(module, header.base)
    if isinstance(based, Decl) and based.kind == header.kind and based.variant is not None:
        return Decl(header.kind, header.name or "", (), module, span, span, bases=[based], variant=based.variant)
    if header.kind in REGISTRY and (header.base or "") in REGISTRY[header.kind]:
        return Decl(header.kind, header.name or "", (), module, span, span, variant=header.base or "")
    return known if isinstance(known, Decl) else None


def _reference(module: Module, dotted: str | None) -> object:
    found: object = module
    for name in (dotted or "").split("."):
        found = found.names.get(name) if isinstance(found, Module) else None
    return found


def _target(lookup: Lookup, module: Module, decl: Decl | None, header: Header) -> Decl | None:
    if header.kind != "overlay":
        return decl
    found = _reference(module, header.base)
    return found if isinstance(found, Decl) else None


def _inside(lookup: Lookup, around: Surroundings, header: Header) -> Surroundings:
    place = around.place
    if around.grid and header.kind in STATEMENTS:
        plain = header.kind in ("set", "base")
        return evolve(around, grid=False, axes=not plain)
    if place is None:
        return Surroundings(View(around.view.module))
    if header.path:
        owner, name = follow(lookup, place, header.path)
        cls = slot(owner.cell.cls, name).get(header.base or "") if owner is not None and name is not None else None
        if owner is None or cls is None:
            return Surroundings(View(around.view.module))
        inner = Place(Cell(cls, name or "", owner.cell.span, owner.cell.root, owner.cell), owner.world)
        return Surroundings(around.view.inside(inner))
    kind = SPELLINGS.get(header.kind, header.kind)
    if kind in fields(place.cell.cls) and is_map(place.cell.cls, kind) and repeated_field(place.cell, kind) is None:
        return Surroundings(around.view, keys=True)
    found = lookup.places.inside(place, header.kind, header.name, header.base)
    return Surroundings(View(around.view.module) if found is None else around.view.inside(found))


def follow(lookup: Lookup, place: Place, path: Sequence[str]) -> tuple[Place | None, str | None]:
    """Return the block and the field, as Python spells it, that a path on the left of `=` leads to."""
    at: Place | Module | tree.Let | None = place
    owner, name = None, None
    for part in path:
        if not isinstance(at, Place):
            return None, None
        owner, name = at, SPELLINGS.get(part, part)
        at = lookup.places.member(at, part)[1]
    return owner, name
