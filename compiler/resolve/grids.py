"""Grids: from a grid block to worlds and points.

    over = product in written order, zip = in step, seeds last; where filters; set and edits come after axes.

Axes whose values are blocks change the structure: each combination of them is a world of its own. All other axes are
read by expressions at each point of one world, so that a value that reads two axes is computed once per pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from attrs import Factory, define, evolve, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics
from ..syntax import tree
from .cells import AxisRead, AxisStatement, BlockValue, Constant, Late, Scope
from .declare import Decl, Module, find_block
from .problems import POISON, Problem, problem
from .values import DeclRef, shown
from .world import Program, World, named_overlays

MOST_POINTS = 100_000
RANGE_KEYS = ("base", "where", "seeds", "name", "with", "identity")


@frozen(eq=False)
class AxisValue:
    """One value of an axis."""

    value: Any


@frozen(eq=False)
class Axis:
    """A path into the base and its values; axes of one `group` go in step."""

    path: str
    names: tuple[tree.Name, ...]
    values: tuple[AxisValue, ...]
    group: int
    place: tree.Expr

    @property
    def structural(self) -> bool:
        """Whether its values are blocks."""
        return any(isinstance(v.value, BlockValue | DeclRef) for v in self.values)


@define(eq=False)
class Draft:
    """What a grid's statements say, strongest last."""

    decl: Decl
    base: Decl | None = None
    over: dict[str, tuple[tree.Assign, Module]] = Factory(dict)
    zip: dict[str, tuple[tree.Assign, Module]] = Factory(dict)
    seeds: tuple[tree.Expr, Module] | None = None
    where: tuple[tree.Expr, Module] | None = None
    name: tuple[tree.Expr, Module] | None = None
    late: list[tuple[tuple[tree.Item, ...], Module, str]] = Factory(list)


@frozen(eq=False)
class Grid:
    """A grid that is ready to be walked."""

    draft: Draft
    base: Decl
    axes: tuple[Axis, ...]
    worlds: dict[tuple[AxisValue, ...], World]
    total: int

    def points(self) -> Iterator[tuple[World, tuple[AxisValue, ...]]]:
        """Yield every point before filters: its world, and the values of the axes, which the world then reads."""
        structural = [i for i, axis in enumerate(self.axes) if axis.structural]
        for values in combinations(self.axes):
            world = self.worlds[tuple(values[i] for i in structural)]
            world.memo.point = list(values)
            yield world, values


def combinations(axes: tuple[Axis, ...]) -> Iterator[tuple[AxisValue, ...]]:
    """Yield the product of groups of axes, the last varying fastest; axes of a group go in step."""
    groups = [list(members) for _, members in itertools.groupby(axes, key=lambda axis: axis.group)]
    stepped = [list(zip(*(axis.values for axis in group), strict=True)) for group in groups]
    for parts in itertools.product(*stepped):
        yield tuple(value for part in parts for value in part)


def read_grid(decl: Decl, program: Program) -> Grid | None:
    """Return a grid, or None after recording what is wrong with it."""
    draft = Draft(decl)
    for part in decl.chain:
        for overlay in named_overlays(part, program):
            _collect(draft, overlay.items, overlay.module, program, f"overlay `{overlay.name}`")
        _collect(draft, part.items, part.module, program, f"grid `{part.name}`")
    for amendment in program.amendments:
        if amendment.target is decl:
            _collect(draft, amendment.items, amendment.module, program, amendment.origin)
    if draft.base is None:
        program.diagnostics.error("LM0209", decl.name_span, f"grid `{decl.name}` needs `base`", help="base = a train")
        return None
    try:
        axes = _axes(draft, program)
        total = _count(axes, decl)
        return Grid(draft, draft.base, axes, _worlds(draft, axes, program), total)
    except Problem as error:
        if error.diagnostic is not None:
            program.diagnostics.add(error.diagnostic)
        return None


def _collect(draft: Draft, items: tuple[tree.Item, ...], module: Module, program: Program, origin: str) -> None:
    for item in items:
        if isinstance(item, tree.Assign):
            _collect_field(draft, item, module, program, origin)
        elif isinstance(item, tree.Block) and item.kind.text in ("over", "zip"):
            _collect_axes(draft, item, module, program)
        elif isinstance(item, tree.Block) and item.kind.text == "set":
            draft.late.append((item.items, module, f"set of {origin}"))
        elif isinstance(item, tree.Block) and item.kind.text == "base":
            draft.late.append((item.items, module, origin))
        elif isinstance(item, tree.Block) and item.kind.text == "draw":
            program.diagnostics.error("LM0212", item.kind.span, "`draw` is not supported by this version")
        elif isinstance(item, tree.Block):
            draft.late.append(((item,), module, origin))


def _collect_field(draft: Draft, item: tree.Assign, module: Module, program: Program, origin: str) -> None:
    head, error = item.path[0], program.diagnostics.error
    if len(item.path) == 1 and head.text == "base":
        found = find_block(module, item.value) if isinstance(item.value, tree.Ref) else None
        if not isinstance(found, Decl) or found.kind != "train":
            error("LM0310", item.value.span, "`base` needs a train", help="name a train of this file")
            return
        draft.base = found
    elif len(item.path) == 1 and head.text in ("seeds", "where", "name"):
        unset = isinstance(item.value, tree.Literal) and item.value.word == "unset"
        setattr(draft, head.text, None if unset else (item.value, module))
    elif len(item.path) == 1 and head.text in ("identity", "with"):
        if head.text == "identity":
            error("LM0212", head.span, "`identity` of a grid is not supported by this version")
    else:
        path = item.path[1:] if head.text == "base" else item.path
        dotted = ".".join(name.text for name in path)
        for axes in (draft.over, draft.zip):
            if dotted in axes:
                del axes[dotted]
                message = f"the axis `{dotted}` is set to one value by {origin}"
                program.diagnostics.add(Diagnostic("LM0510", message, item.span, severity="warning"))
        if dotted == "seed":
            draft.seeds = None
        draft.late.append(((evolve(item, path=path),), module, origin))


def _collect_axes(draft: Draft, block: tree.Block, module: Module, program: Program) -> None:
    axes = draft.over if block.kind.text == "over" else draft.zip
    if block.name is not None:
        program.diagnostics.error("LM0212", block.name.span, "named `zip` blocks are not supported by this version")
        return
    for item in block.items:
        if isinstance(item, tree.Let):
            program.diagnostics.error("LM0212", item.span, "free axes are not supported by this version")
        elif isinstance(item, tree.Assign):
            if isinstance(item.value, tree.Literal) and item.value.word == "unset":
                axes.pop(item.dotted, None)
            else:
                axes[item.dotted] = (item, module)
        elif not isinstance(item, tree.Bad):
            program.diagnostics.error("LM0214", item.span, "an axis is `path = list`")


def _axes(draft: Draft, program: Program) -> tuple[Axis, ...]:
    assert draft.base is not None
    plain = World(evolve(program, diagnostics=Diagnostics(), amendments=()), draft.base)
    axes: list[Axis] = []
    for number, (path, (item, module)) in enumerate(draft.over.items()):
        axes.append(_axis(path, item.path, item.value, module, number, plain, program))
    stepped = [
        _axis(path, item.path, item.value, module, len(axes), plain, program)
        for path, (item, module) in draft.zip.items()
    ]
    if len({len(axis.values) for axis in stepped}) > 1:
        lengths = ", ".join(f"{axis.path}: {len(axis.values)}" for axis in stepped)
        raise problem("LM0503", stepped[-1].place.span, f"axes of `zip` have different lengths ({lengths})")
    axes += stepped
    if draft.seeds is not None:
        expr, module = draft.seeds
        seed = (tree.Name("seed", expr.span),)
        axes.append(_axis("seed", seed, expr, module, len(axes), plain, program))
    return tuple(axes)


def _axis(
    path: str,
    names: tuple[tree.Name, ...],
    expr: tree.Expr,
    module: Module,
    group: int,
    world: World,
    program: Program,
) -> Axis:
    assert world.root is not None
    listed = world.evaluator.expr(expr, Scope((world.root,), module))
    if not isinstance(listed, list):
        raise problem("LM0301", expr.span, f"the axis `{path}` needs a list", help="write [...] or range(...)")
    if not listed:
        raise problem("LM0502", expr.span, f"the axis `{path}` has no values")
    axis = Axis(path, names, tuple(map(AxisValue, listed)), group, expr)
    _check_path(axis, world.train, module, program)
    return axis


def _check_path(axis: Axis, base: Decl | None, module: Module, program: Program) -> None:
    """Try the first value alone. Raises Problem (LM0501) for a path that leads nowhere."""
    scratch = Diagnostics()
    value = axis.values[0].value
    constant = Constant(value.decl if isinstance(value, DeclRef) else value, axis.place.span)
    statement = AxisStatement(axis.names, constant, axis.place.span)
    before = len(scratch.items)
    World(evolve(program, diagnostics=scratch, amendments=()), base, (Late(statement, None, "axis"),))
    for found in scratch.items[before:]:
        if found.code in ("LM0203", "LM0214") and found.span is not None and found.span in [n.span for n in axis.names]:
            message = f"the axis `{axis.path}` leads nowhere: {found.message}"
            raise Problem(evolve(found, code="LM0501", message=message))


def _count(axes: tuple[Axis, ...], decl: Decl) -> int:
    total = 1
    for _, members in itertools.groupby(axes, key=lambda axis: axis.group):
        total *= len(next(members).values)
    if total > MOST_POINTS:
        raise problem("LM0504", decl.name_span, f"the grid has {total:,} points; at most {MOST_POINTS:,} are allowed")
    return total


def _worlds(draft: Draft, axes: tuple[Axis, ...], program: Program) -> dict[tuple[AxisValue, ...], World]:
    worlds = {}
    structural = [axis for axis in axes if axis.structural]
    for chosen in itertools.product(*(axis.values for axis in structural)):
        fixed = dict(zip([axis.path for axis in structural], chosen, strict=True))
        late: list[Late] = []
        for number, axis in enumerate(axes):
            if axis.structural:
                value = fixed[axis.path].value
                expr: Any = Constant(value.decl if isinstance(value, DeclRef) else value, axis.place.span)
            else:
                expr = AxisRead(number, axis.place.span, axis.place)
            statement = AxisStatement(axis.names, expr, axis.place.span)
            late.append(Late(statement, None, f"axis of grid `{draft.decl.name}`"))
        late += [Late(items, Scope((), module), origin) for items, module, origin in draft.late]
        worlds[chosen] = World(program, draft.base, tuple(late))
    return worlds


def plain(value: Any) -> Any:
    """Return an axis value as JSON can hold it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, BlockValue):
        return " ".join(value.inline.span.text.split())
    return value if isinstance(value, int | float | str | bool) or value is None else shown(value)


__all__ = ["POISON", "Axis", "AxisValue", "Grid", "combinations", "plain", "read_grid"]
