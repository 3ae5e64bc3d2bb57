"""`--with` and `--set` are stronger than axes: an axis whose field one of them sets is one value."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from ...spec.diagnostic import Diagnostics
from ...spec.schema import SPELLINGS, fields
from ..syntax import tree
from .cells import Cell
from .draft import Draft
from .problems import Problem
from .references import is_slot
from .values import DeclRef
from .world import Amendment, World


def collapse_settled(draft: Draft) -> None:
    """Take away the axes whose field an amendment of another block than the grid sets, with a warning."""
    amendments = [amendment for amendment in draft.program.amendments if _reaches(amendment, draft)]
    if not amendments:
        return
    world = World(evolve(draft.program, diagnostics=Diagnostics()), draft.base)
    assert world.root is not None
    paths = [(path, axis.names) for axes in draft.groups() for path, axis in axes.items() if not axis.free]
    if "seeds" in draft.fields:
        paths.append(("seed", (tree.Name("seed", draft.decl.name_span),)))
    varied = {place: path for path, names in paths if (place := _place(world, world.root, names)) is not None}
    for amendment in amendments:
        for names, item in _settings(amendment.items):
            place = _place(world, world.instance(amendment.target), names)
            if place in varied:
                draft.collapse(varied[place], item, amendment.origin)


def _reaches(amendment: Amendment, draft: Draft) -> bool:
    """Whether an amendment sets fields of what a grid runs."""
    target = amendment.target
    return target.kind not in ("grid", "overlay") and (target.kind != "train" or target is draft.base)


def _settings(items: tuple[tree.Item, ...]) -> Iterator[tuple[tuple[tree.Name, ...], tree.Item]]:
    """Yield the paths that statements set."""
    for item in items:
        if isinstance(item, tree.Assign):
            yield item.path, item
        elif isinstance(item, tree.Block) and item.base is None:
            head = item.kind if item.name is None else item.name
            for path, inner in _settings(item.items):
                yield (head, *path), inner
        elif isinstance(item, tree.Block):
            yield (item.kind,), item


def _place(world: World, cell: Cell, names: tuple[tree.Name, ...]) -> tuple[Cell, str] | None:
    """Return the cell and the field that a path leads to, or None if it leads nowhere."""
    try:
        for name in names[:-1]:
            inner = _inner(world, cell, name.text)
            if inner is None:
                return None
            cell = inner
    except Problem:
        return None
    return cell, names[-1].text


def _inner(world: World, cell: Cell, name: str) -> Cell | None:
    known = SPELLINGS.get(name, name)
    if (named := cell.block_named(name)) is not None or known not in fields(cell.cls):
        return named
    if is_slot(cell, known):
        return cell.slot(known)
    value = world.evaluator.value(cell, known) if fields(cell.cls)[known].metadata["ref"] else None
    return world.instance(value.decl) if isinstance(value, DeclRef) else None
