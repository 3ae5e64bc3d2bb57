"""Axes: the values of what a grid varies, in the groups that go in step.

over   each axis is a group of its own, in written order; those that are drawn are one group
zip    each block is a group
seeds  the last group
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostic, Diagnostics, Edit, Label
from ...spec.schema import SPELLINGS, fields, slot
from ..syntax import tree
from .cells import AxisRead, AxisStatement, BlockValue, Constant, Late, Scope, is_map
from .draft import STATEMENTS, AxisText, Draft, Written
from .draws import sample
from .problems import Problem, problem
from .values import DeclRef, Distribution
from .world import World

MOST_POINTS = 100_000


@frozen(eq=False)
class AxisValue:
    """One value of an axis."""

    value: Any


@frozen(eq=False)
class Axis:
    """What varies: a path into the base, or a name of its own; axes of one `group` go in step."""

    path: str
    names: tuple[tree.Name, ...]
    values: tuple[AxisValue, ...]
    group: int
    place: tree.Expr
    free: bool = False

    @property
    def structural(self) -> bool:
        """Whether its values are blocks, each of which makes a world of its own."""
        return not self.free and any(isinstance(v.value, BlockValue | DeclRef) for v in self.values)

    def statement(self, value: AxisValue | None, number: int) -> AxisStatement:
        """Return the axis as a statement about the base: one value of it, or what it is at each point."""
        if value is None:
            return AxisStatement(self.names, AxisRead(number, self.place.span, self.place), self.place.span)
        plain = value.value.decl if isinstance(value.value, DeclRef) else value.value
        return AxisStatement(self.names, Constant(plain, self.place.span), self.place.span)


def combinations(axes: tuple[Axis, ...]) -> Iterator[tuple[AxisValue, ...]]:
    """Yield the product of groups of axes, the last varying fastest; axes of a group go in step."""
    stepped = [list(zip(*(axis.values for axis in group), strict=True)) for group in _groups(axes)]
    for parts in itertools.product(*stepped):
        yield tuple([value for part in parts for value in part])


def _groups(axes: tuple[Axis, ...]) -> list[list[Axis]]:
    return [list(members) for _, members in itertools.groupby(axes, key=lambda axis: axis.group)]


def free_variables(axes: tuple[Axis, ...]) -> tuple[tuple[str, Any], ...]:
    """Return the free axes as variables of the expressions of a grid."""
    return tuple(
        (axis.path, AxisRead(number, axis.place.span, axis.place)) for number, axis in enumerate(axes) if axis.free
    )


def read_axes(draft: Draft, world: World) -> tuple[Axis, ...]:
    """Return the axes of a grid; lists are read in the scope of its base, which is `world`. Raises Problem."""
    groups: list[list[Axis]] = []
    drawn: list[Axis] = []
    for path, text in draft.over.items():
        axis = _axis(path, text, draft, world)
        if isinstance(axis, Axis):
            groups.append([axis])
        else:
            if not drawn:
                groups.append(drawn)
            drawn.append(_drawn(axis, path, text, draft, world))
    for axes in draft.zips.values():
        groups.append([_listed(path, text, draft, world) for path, text in axes.items()])
        _check_lengths(groups[-1])
    if "seeds" in draft.fields:
        seeds = draft.fields["seeds"]
        text = AxisText((tree.Name("seed", seeds.expr.span),), seeds, False)
        groups.append([_listed("seed", text, draft, world)])
    if draft.draw and not drawn:
        message = "`draw` draws nothing: no axis of `over` is a distribution"
        span = next(iter(draft.draw.values())).expr.span
        help = "drop `draw`, or write a distribution into `over`, such as loguniform(1e-4, 1e-2)"
        draft.program.diagnostics.add(Diagnostic("LM0511", message, span, help=help, severity="warning"))
    found = tuple(evolve(axis, group=number) for number, group in enumerate(groups) for axis in group)
    for axis in found:
        _check_path(axis, found, draft, world)
    return found


def count(axes: tuple[Axis, ...], draft: Draft, world: World) -> int:
    """Return the number of points before filters. Raises Problem (LM0504) for too many."""
    most = MOST_POINTS
    if "ceiling" in draft.fields:
        most = _whole(draft.fields["ceiling"], "ceiling", 1, world)
    total = 1
    for group in _groups(axes):
        total *= len(group[0].values)
    if total > most:
        message = f"the grid has {total:,} points; at most {most:,} are allowed"
        raise problem("LM0504", draft.decl.name_span, message, help=f"make it smaller, or write ceiling = {total}")
    return total


def _axis(path: str, text: AxisText, draft: Draft, world: World) -> Axis | Distribution:
    assert world.root is not None
    if path in STATEMENTS and not text.free:
        span, seed = text.names[0].span, path == "seeds"
        message, help = f"`{path}` is the grid's own, not an axis", "write it beside `over`"
        edits = (Edit(span, "seed"),) if seed else ()
        raise problem("LM0501", span, message, help=help + ", or `seed` in it" * seed, edits=edits)
    expr = text.written.expr
    value = world.evaluator.expr(expr, Scope((world.root,), text.written.module))
    if isinstance(value, Distribution):
        return value
    if not isinstance(value, list):
        single = isinstance(expr, tree.Number | tree.String | tree.Literal)
        listed = f"[{expr.span.text}]" if single else "[...]"
        edits = (Edit(expr.span, listed),) if single else ()
        help = f"write {listed} or range(...)"
        raise problem("LM0301", expr.span, f"the axis `{path}` needs a list", help=help, edits=edits)
    if not value:
        raise problem("LM0502", expr.span, f"the axis `{path}` has no values", help="write at least one")
    if text.free:
        _check_hidden(text, draft, world)
    return Axis(path, text.names, tuple(map(AxisValue, value)), 0, expr, text.free)


def _listed(path: str, text: AxisText, draft: Draft, world: World) -> Axis:
    axis = _axis(path, text, draft, world)
    if isinstance(axis, Distribution):
        message = f"the axis `{path}` goes in step, and so needs a list"
        raise problem("LM0301", text.written.expr.span, message, help="distributions stand in `over`")
    return axis


def _drawn(distribution: Distribution, path: str, text: AxisText, draft: Draft, world: World) -> Axis:
    expr = text.written.expr
    if "n" not in draft.draw:
        message = f"`{distribution.name}` is drawn from, and `draw` does not say how often"
        raise problem("LM0209", expr.span, message, help="write draw { n = 20 } into the grid")
    n = _whole(draft.draw["n"], "n", 1, world)
    seed = _whole(draft.draw["seed"], "seed", None, world) if "seed" in draft.draw else 0
    if text.free:
        _check_hidden(text, draft, world)
    values = tuple(AxisValue(sample(distribution, seed, path, number)) for number in range(min(n, MOST_POINTS + 1)))
    return Axis(path, text.names, values, 0, expr, text.free)


def _whole(written: Written, name: str, least: int | None, world: World) -> int:
    assert world.root is not None
    value = world.evaluator.expr(written.expr, Scope((world.root,), written.module))
    if not isinstance(value, int) or isinstance(value, bool):
        raise problem("LM0301", written.expr.span, f"`{name}` needs an Int")
    if least is not None and value < least:
        raise problem("LM0303", written.expr.span, f"`{name}` must be at least {least}, got {value}", help="raise it")
    return value


def _check_lengths(axes: list[Axis]) -> None:
    if len({len(axis.values) for axis in axes}) > 1:
        lengths = ", ".join(f"{axis.path}: {len(axis.values)}" for axis in axes)
        message = f"axes of `zip` have different lengths ({lengths})"
        first = Label(axes[0].place.span, "goes in step with it")
        raise problem("LM0503", axes[-1].place.span, message, labels=(first,), help="give them equally many values")


def _check_hidden(text: AxisText, draft: Draft, world: World) -> None:
    """Warn of a free axis whose name hides another one."""
    assert world.root is not None
    name = text.names[0]
    if name.text in fields(world.root.cls) or name.text in text.written.module.names:
        what = "a field of the base" if name.text in fields(world.root.cls) else "a name of the file"
        message = f"the free axis `{name.text}` hides {what}"
        draft.program.diagnostics.add(Diagnostic("LM0215", message, name.span, help="rename it", severity="warning"))


def _check_path(axis: Axis, axes: tuple[Axis, ...], draft: Draft, world: World) -> None:
    """Try the first value with each value of an axis of blocks above it.

    Raises Problem (LM0501) for a path that leads nowhere.
    """
    assert world.root is not None
    if axis.free or _is_plain(world.root.cls, axis.names):
        return
    above = [a for a in axes if a.structural and axis.names[: len(a.names)] != axis.names and _begins(axis, a)]
    for values in itertools.product(*(a.values for a in above)):
        scratch = Diagnostics()
        late = [Late(a.statement(v, 0), None, "axis") for a, v in zip(above, values, strict=True)]
        late.append(Late(axis.statement(axis.values[0], 0), None, "axis"))
        World(evolve(draft.program, diagnostics=scratch, amendments=()), world.train, tuple(late))
        places = [name.span for name in axis.names]
        for found in scratch.items:
            if found.code in ("LM0203", "LM0209", "LM0214") and found.span in places:
                message = f"the axis `{axis.path}` leads nowhere: {found.message}"
                help = "write it into the blocks that have it: attention { heads = 2 }" if above else found.help
                raise Problem(evolve(found, code="LM0501", message=message, help=help))


def _is_plain(cls: type, names: tuple[tree.Name, ...]) -> bool:
    """Whether names are those of a field of a class that holds no blocks: such a path leads there."""
    name = SPELLINGS.get(names[0].text, names[0].text)
    known = fields(cls).get(name)
    return (
        len(names) == 1
        and known is not None
        and not known.metadata["hidden"]
        and not slot(cls, name)
        and not is_map(cls, name)
    )


def _begins(axis: Axis, above: Axis) -> bool:
    return axis.path.startswith(above.path + ".")


def by_depth(axes: tuple[Axis, ...]) -> list[tuple[int, Axis]]:
    """Return the axes with their numbers, what is above before what is below, whatever order they are written in."""
    return sorted(enumerate(axes), key=lambda numbered: len(numbered[1].names))


def described(values: Mapping[str, Any]) -> str:
    """Return the axes of a point as a message lists them."""
    return ", ".join(f'{path} = "{v}"' if isinstance(v, str) else f"{path} = {v}" for path, v in values.items())
