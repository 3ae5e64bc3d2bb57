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

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostics
from ...spec.schema import fields
from .axes import Axis, AxisValue, by_depth, combinations, count, free_variables, read_axes
from .cells import BlockValue, Late, Scope
from .collapse import collapse_settled
from .declare import Decl, Module
from .draft import Draft, read_draft
from .problems import Problem, problem
from .values import shown
from .world import Program, World


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
            world = self.worlds[tuple([values[i] for i in structural])]
            world.memo.point = list(values)
            yield world, values

    def scope(self, world: World, module: Module) -> Scope:
        """Return the scope of the grid's own expressions: the base's fields and the free axes."""
        assert world.root is not None
        return Scope((world.root,), module, free_variables(self.axes))


def read_grid(decl: Decl, program: Program) -> Grid | None:
    """Return a grid, or None after recording what is wrong with it."""
    draft = read_draft(decl, program)
    if draft.base is None and not draft.told and decl.module.whole and not decl.bases:
        program.diagnostics.error(
            "LM0209", decl.name_span, f"grid `{decl.name}` needs `base`", help="add base = ..., a train"
        )
    if draft.base is None:
        return None
    try:
        plain = World(evolve(program, diagnostics=Diagnostics(), amendments=()), draft.base)
        if program.amendments:
            collapse_settled(draft)
        axes = read_axes(draft, plain)
        total = count(axes, draft, plain)
        return Grid(draft, draft.base, axes, _worlds(draft, axes, _identity(draft, plain)), total)
    except Problem as error:
        error.report(program.diagnostics)
        return None


def _identity(draft: Draft, world: World) -> tuple[str, ...]:
    """Return the fields that the identity of these runs covers beside those that it always does. Raises Problem."""
    assert world.root is not None
    known = {name: a for name, a in fields(world.root.cls).items() if not a.metadata["hidden"]}
    found: dict[str, None] = {}
    for written in draft.identity:
        names = world.evaluator.expr(written.expr, Scope((world.root,), written.module))
        if not isinstance(names, list):
            raise problem("LM0301", written.expr.span, "`identity` needs a list", help='write identity += ["mesh"]')
        for name in names:
            if name not in known or known[name].metadata["identity"]:
                listed = ", ".join(f'"{n}"' for n, a in known.items() if not a.metadata["identity"])
                what = f"`identity` cannot take {shown(name)}"
                raise problem("LM0304", written.expr.span, what, help=f"beside what always counts it takes {listed}")
            found[name] = None
    return tuple(sorted(found))


def _worlds(draft: Draft, axes: tuple[Axis, ...], identified: tuple[str, ...]) -> dict[tuple[AxisValue, ...], World]:
    worlds = {}
    structural = [axis for axis in axes if axis.structural]
    variables = free_variables(axes)
    for chosen in itertools.product(*(axis.values for axis in structural)):
        fixed = dict(zip([axis.path for axis in structural], chosen, strict=True))
        late = [
            Late(axis.statement(fixed.get(axis.path), number), Scope((), draft.decl.module, variables), _origin(draft))
            for number, axis in by_depth(axes)
            if not axis.free
        ]
        late += [Late(items, Scope((), module, variables), origin) for items, module, origin in draft.late]
        worlds[chosen] = World(draft.program, draft.base, tuple(late), identified=identified)
    return worlds


def _origin(draft: Draft) -> str:
    return f"axis of grid `{draft.decl.name}`"


def plain(value: Any) -> Any:
    """Return an axis value as JSON can hold it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, BlockValue):
        return " ".join(value.inline.span.text.split())
    return value if isinstance(value, int | float | str | bool) or value is None else shown(value)


__all__ = ["Axis", "AxisValue", "Grid", "combinations", "plain", "read_grid"]
