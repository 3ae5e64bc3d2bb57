"""`lmc why`: the chain of what set a value, strongest first."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...spec.diagnostic import LmcError, fail
from ...spec.plan import Origin, Point
from ...spec.schema import SPELLINGS, fields, variant_of
from ...spec.span import SETTING
from ..resolve.cells import Cell, Scope, is_map, spelled
from ..resolve.declare import Decl
from ..resolve.problems import READ, Problem, Unknown
from ..resolve.references import is_slot
from ..resolve.values import DeclRef, shown
from ..resolve.world import World
from ..syntax import tree
from .origins import chain

if TYPE_CHECKING:
    from ..pipeline import Compiled
    from .build import PlanBuilder

OPEN = "(known only when the run"
DERIVED = "derived: "
LENGTHS = ("steps", "tokens", "epochs")


def explain_value(compiled: Compiled, query: str) -> Iterator[str]:
    """Yield the value of `block.path`, in run `@id-or-name` of a grid, and what set it; of a block, its fields.

    Raises LmcError: LM0207 for a path that leads nowhere, LM0809 for an unknown run.
    """
    path, _, run = query.partition("@")
    head, *names = path.split(".")
    builder = compiled.builder
    assert builder is not None
    worlds = builder.worlds.get(head)
    if worlds is None:
        decl = builder.program.main.names.get(head)
        if not isinstance(decl, Decl) or decl.kind in ("grid", "overlay"):
            raise _no_block(builder, head, path)
        yield from _explain(builder.null, builder.null.instance(decl), names, query)
        return
    points = [point for point in builder.points if point.grid == head]
    world = _at_run(builder, head, worlds, run, points)
    assert world.root is not None
    yield from _explain(world, world.root, names, query)
    if head in builder.grids and not run and len(points) > 1:
        yield f"  at {points[0].name}, the first of {len(points):,} points; {path}@RUN asks for another"


def _no_block(builder: PlanBuilder, head: str, path: str) -> LmcError:
    run = next((p for p in builder.points if p.grid in builder.grids and f"{path}.".startswith(f"{p.name}.")), None)
    if run is not None:
        asked = f"{run.grid}{path.removeprefix(run.name)}@{run.name}"
        return fail("LM0207", f"`{run.name}` is a run of grid `{run.grid}`, no block", help=f"did you mean `{asked}`?")
    decls = builder.program.main.decls
    known = [decl.name for decl in decls if decl.kind != "overlay"]
    near = difflib.get_close_matches(head, known, 1)
    help = f"did you mean `{near[0]}`?" if near else f"blocks are {', '.join(known)}"
    if any(decl.name == head for decl in decls):
        return fail("LM0207", f"`{head}` is an overlay", help=f"ask for what it changes: --with {head}")
    return fail("LM0207", f"there is no block `{head}`", help=help)


def _at_run(builder: PlanBuilder, head: str, worlds: list[World], run: str, points: Sequence[Point]) -> World:
    """Return the world of a run, by name or beginning of its id, its axes set to its values; by default the first."""
    grid = builder.grids.get(head)
    if grid is None:
        return worlds[0]
    wanted = next((point.run for point in points if run in (point.name, "")), run)
    for world, _ in grid.points():
        with contextlib.suppress(Problem):  # a point that `where` leaves out need not make sense
            if world.root is not None and world.node_id(world.root).startswith(wanted):
                return world
    near = difflib.get_close_matches(run, [point.name for point in points], 1)
    help = f"did you mean `{near[0]}`?" if near else "give the name of a run, or the beginning of its id"
    raise fail("LM0809", f"grid `{head}` has no run `{run}`", help=help)


def _explain(world: World, cell: Cell, names: list[str], query: str) -> Iterator[str]:
    for number, name in enumerate(names):
        inner = _inner(world, cell, name, last=number == len(names) - 1)
        if inner is None and number == len(names) - 1:
            yield from _field(world, cell, name, query)
            return
        if inner is None:
            raise _nowhere(cell, query, name)
        world, cell = inner
    yield from _block(world, cell, query)


def _inner(world: World, cell: Cell, name: str, *, last: bool) -> tuple[World, Cell] | None:
    """Return the block that a name leads to: a nested one, or before the last name the one that a field refers to."""
    known = SPELLINGS.get(name, name)
    inner = cell.block_named(name)
    if inner is None and known in fields(cell.cls) and is_slot(cell, known):
        inner = cell.slot(known)
    elif inner is None and not last and known in fields(cell.cls) and fields(cell.cls)[known].metadata["ref"]:
        value = world.evaluator.value(cell, known)
        inner = world.instance(value.decl) if isinstance(value, DeclRef) else None
    if inner is not None and inner.kind == "stage":
        world = world.border(inner.root).stages[inner.name]
        inner = world.root
    return None if inner is None else (world, inner)


def _field(world: World, cell: Cell, name: str, query: str) -> Iterator[str]:
    known = SPELLINGS.get(name, name)
    if known not in fields(cell.cls) and not isinstance(getattr(cell.cls, name, None), property):
        raise _nowhere(cell, query, name)
    yield f"{query} = {_value(world, cell, name)}"
    for line in origin_lines(world, cell, known):
        yield f"  {line}"


def origin_lines(world: World, cell: Cell, name: str) -> Iterator[str]:
    """Yield what set a field, `name` as Python spells it, and what that was set over, a line each."""
    if name not in fields(cell.cls):
        yield f"computed from the fields of {cell.kind} `{cell.name}`"
        return
    origins = chain(world, cell, name)
    unwritten = cell.kind == "train" and name in LENGTHS and len(origins) == 1
    if unwritten and (value_text(world, cell, name) or "").startswith(OPEN):
        yield f"no line sets it: of {', '.join(LENGTHS)} one is written, and the others follow"
        return
    for number, origin in enumerate(origins):
        text = origin.text.removeprefix(DERIVED)
        yield f"{'set by' if number == 0 else 'over  '} {_source(origin)}: {text}{_at(origin)}"


def _source(origin: Origin) -> str:
    """Return what set a value; a default that follows from other fields is one of the schema too."""
    return "schema default" if origin.source == "schema" else origin.source


def _at(origin: Origin) -> str:
    """Return where a value was set, if that is in a file."""
    return f"   {origin.place}" if origin.place and origin.place.path != SETTING else ""


def _block(world: World, cell: Cell, query: str) -> Iterator[str]:
    """Yield a block's variant and place, and each of its fields with what set it."""
    written = cell.parent is None or cell.span != cell.parent.span
    yield f"{query} = {variant_of(cell.cls) or cell.kind} {{ }}   {cell.span if written else 'schema default'}"
    rows = [(spelled(name), *_row(world, cell, name)) for name in fields(cell.cls) if _told(cell, name)]
    for name, value, source in rows:
        yield f"  {name} = {value}   {source}"
    for blocks in cell.named.values():
        for name, inner in blocks.items():
            yield f"  {name} = {variant_of(inner.cls) or inner.kind} {{ }}   {inner.span}"


def _told(cell: Cell, name: str) -> bool:
    known = fields(cell.cls)[name].metadata
    return not known["hidden"] and not known["repeat"] and not is_map(cell.cls, name)


def _row(world: World, cell: Cell, name: str) -> tuple[str, str]:
    if is_slot(cell, name):
        inner = cell.slot(name)
        if inner is not None:
            written = [spelled(field) for field in fields(inner.cls) if inner.fields.get(field) and _told(inner, field)]
            held = "".join(f"{field} = {_value(world, inner, field)}, " for field in written).removesuffix(", ")
            span = inner.span
            if written and span == cell.span:  # a block of the schema whose fields are set
                span = inner.fields[SPELLINGS.get(written[0], written[0])][-1].expr.span
            place = str(span) if span != cell.span else "schema default"
            return f"{variant_of(inner.cls) or inner.kind} {{ {held} }}".replace("{  }", "{ }"), place
    origins = chain(world, cell, name)
    source = f"{_source(origins[0])}{_at(origins[0])}" if origins else ""
    return _value(world, cell, spelled(name)), source


def _value(world: World, cell: Cell, name: str) -> str:
    if SPELLINGS.get(name, name) in fields(cell.cls) and is_slot(cell, SPELLINGS.get(name, name)):
        return "none"
    return value_text(world, cell, name) or "(asked when the run goes on)"


def value_text(world: World, cell: Cell, name: str) -> str | None:
    """Return the value of a field or property as the language writes it; None for a block, and where it has none."""
    try:
        ref = tree.Ref(tree.Name(name, cell.span), (), cell.span)
        return shown(world.evaluator.expr(ref, Scope((cell,), cell.root.module)))
    except Unknown as error:
        return f"{OPEN} {READ[error.what][0]})"
    except Problem:
        return None


def _nowhere(cell: Cell, query: str, part: str) -> LmcError:
    if SPELLINGS.get(part, part) in fields(cell.cls):
        return fail("LM0207", f"`{query}` leads nowhere: `{part}` is no block here")
    known = [*(spelled(name) for name, a in fields(cell.cls).items() if not a.metadata["hidden"])]
    near = difflib.get_close_matches(part, known, 1)
    help = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known)}"
    return fail("LM0207", f"`{query}` leads nowhere: {cell.what} has no `{part}`", help=help)
