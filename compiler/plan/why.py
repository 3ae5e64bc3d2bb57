"""`lmc why`: the chain of what set a value, strongest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...spec.diagnostic import LmcError, fail
from ...spec.schema import SPELLINGS, fields
from ..resolve.cells import Cell, Scope
from ..resolve.problems import READ, Problem, Unknown
from ..resolve.references import is_slot
from ..resolve.values import DeclRef, shown
from ..resolve.world import World
from ..syntax import tree
from .origins import chain

if TYPE_CHECKING:
    from ..pipeline import Compiled
    from .build import PlanBuilder


def explain_value(compiled: Compiled, query: str) -> Iterator[str]:
    """Yield the value of `block.path`, in run `@id-or-name` of a grid, and what set it.

    Raises LmcError: LM0207 for a path that leads nowhere, LM0809 for an unknown run.
    """
    path, _, run = query.partition("@")
    head, *names = path.split(".")
    builder = compiled.builder
    assert builder is not None
    worlds = builder.worlds.get(head)
    if worlds is None:
        decl = builder.program.main.names.get(head)
        if decl is None or not names:
            raise fail("LM0207", f"there is no block `{head}`", help="write BLOCK.path, such as fine.model.width")
        yield from _explain(builder.null, builder.null.instance(decl), names, query)  # type: ignore[arg-type]
        return
    world = _at_run(builder, head, worlds, run)
    assert world.root is not None
    yield from _explain(world, world.root, names, query)


def _at_run(builder: PlanBuilder, head: str, worlds: list[World], run: str) -> World:
    """Return the world of a run, its axes set to the run's values; the first point if none is named."""
    grid = builder.grids.get(head)
    if grid is None:
        return worlds[0]
    for world, _ in grid.points():
        if not run or (world.root is not None and world.node_id(world.root).startswith(run)):
            return world
    raise fail("LM0809", f"grid `{head}` has no run `{run}`", help="give the beginning of a run's id")


def _explain(world: World, cell: Cell, names: list[str], query: str) -> Iterator[str]:
    world, owner, name = _walk(world, cell, names, query)
    spelling = SPELLINGS.get(name, name)
    try:
        ref = tree.Ref(tree.Name(name, owner.span), (), owner.span)
        value = shown(world.evaluator.expr(ref, Scope((owner,), owner.root.module)))
    except Unknown as error:
        value = f"(known only when the run {READ[error.what][0]})"
    except Problem:
        value = "(a block)"
    yield f"{query} = {value}"
    if spelling not in fields(owner.cls):
        yield f"  computed from the fields of {owner.kind} `{owner.name}`"
        return
    for number, origin in enumerate(chain(world, owner, spelling)):
        place = f"   {origin.place}" if origin.place else ""
        yield f"  {'set by' if number == 0 else 'over  '} {origin.source}: {origin.text}{place}"


def _walk(world: World, cell: Cell, names: list[str], query: str) -> tuple[World, Cell, str]:
    for number, name in enumerate(names[:-1]):
        known = SPELLINGS.get(name, name)
        inner = cell.block_named(name)
        if inner is None and known in fields(cell.cls) and is_slot(cell, known):
            inner = cell.slot(known)
        elif inner is None and known in fields(cell.cls) and fields(cell.cls)[known].metadata["ref"]:
            value = world.evaluator.value(cell, known)
            inner = world.instance(value.decl) if isinstance(value, DeclRef) else None
        if inner is None:
            raise _nowhere(query, ".".join(names[: number + 1]))
        if inner.kind == "stage":
            world = world.border(inner.root).stages[inner.name]
            assert world.root is not None
            inner = world.root
        cell = inner
    last = names[-1] if names else ""
    if SPELLINGS.get(last, last) not in fields(cell.cls) and not hasattr(cell.cls, last):
        raise _nowhere(query, last)
    return world, cell, last


def _nowhere(query: str, part: str) -> LmcError:
    return fail("LM0207", f"`{query}` leads nowhere: there is no `{part}`")
