"""What varies between the runs of configurations: lists to sweep, grids and near-copies become axes of one grid.

A configuration with one value of an axis in its place is converted again; what then differs is what the axis varies.
One value that differs is an axis of `over`, several go in step in a `zip`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from ...spec.diagnostic import LmcError, fail
from ...spec.schema import REGISTRY, fields, variant_of
from ...spec.span import Span
from .config import Config
from .draft import Block, Draft, number, quoted
from .grid_strings import NotAList, read_list
from .yaml_read import Items, Leaf, Scalar

MOST_ROWS = 10_000
Convert = Callable[[Config], Draft]


@frozen
class Sweep:
    """The values of one path of a configuration; `text` is the list as an expression, empty if it is just a list."""

    path: str
    values: tuple[Scalar, ...]
    span: Span
    text: str = ""


@frozen
class Axes:
    """Paths of a run that go in step, and a row of values of them for each run; `text` is the list of a single one."""

    paths: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: str = ""


def sweeps(config: Config, grid: str, target: str) -> list[Sweep]:
    """Return what a configuration sweeps: the lists below `grid`, whose keys begin behind `target`, then its own.

    Raises LmcError (LM1007) for a list that is written as text and cannot be read.
    """
    found = {}
    for path, leaf in config.leaves.items():
        if path.startswith(f"{grid}."):
            config.used.add(path)
            full = target + path.removeprefix(f"{grid}.")
            found[full] = _sweep(full, leaf)
    for path in sorted(config.swept, key=list(config.leaves).index):
        leaf = config.leaves[path]
        if isinstance(leaf, Items) and path not in found:
            found[path] = Sweep(path, leaf.values, leaf.span)
    return list(found.values())


def _sweep(path: str, leaf: Leaf) -> Sweep:
    if isinstance(leaf, Items):
        return Sweep(path, leaf.values, leaf.span)
    if leaf.tag != "str":
        return Sweep(path, (leaf,), leaf.span)
    try:
        values, text = read_list(leaf.text)
    except NotAList as error:
        help = "write the values as a list: [1, 2, 4]"
        raise fail("LM1007", f"`{leaf.text}` cannot be read as a list: {error}", leaf.span, help=help) from error
    made = (Scalar(str(v).lower() if isinstance(v, bool) else str(v), leaf.span, isinstance(v, str)) for v in values)
    return Sweep(path, tuple(evolve(scalar, tag="int") for scalar in made), leaf.span, text)


def axes_of(config: Config, found: Sequence[Sweep], convert: Convert, base: Draft) -> list[Axes]:
    """Return the axes that sweeps of a configuration are; sweeps that change the same value go together."""
    groups: list[tuple[list[Sweep], set[str]]] = []
    for sweep in found:
        drafts = [convert(config.changed({sweep.path: value})) for value in sweep.values]
        paths = set(differing([base, *drafts]))
        if not paths:
            continue
        joined = [group for group in groups if group[1] & paths]
        groups = [group for group in groups if group not in joined]
        members = [member for group in joined for member in group[0]] + [sweep]
        groups.append((members, paths.union(*(group[1] for group in joined))))
    return [axes for members, _ in groups for axes in _axes(config, members, convert, base)]


def _axes(config: Config, members: list[Sweep], convert: Convert, base: Draft) -> Iterator[Axes]:
    count = 1
    for member in members:
        count *= len(member.values)
    if count > MOST_ROWS:
        names = ", ".join(f"`{member.path}`" for member in members)
        raise fail("LM1006", f"{names} set the same value in {count:,} ways", members[-1].span)
    drafts = [
        convert(config.changed({member.path: value for member, value in zip(members, values, strict=True)}))
        for values in itertools.product(*(member.values for member in members))
    ]
    paths = differing([base, *drafts])
    rows = tuple(tuple(value_at(draft, path) for path in paths) for draft in drafts)
    text = members[0].text if len(members) == 1 and len(paths) == 1 else ""
    if text and [row[0] for row in rows] != [_spelt(value.text) for value in members[0].values]:
        text = ""
    yield Axes(tuple(paths), rows, text)


def _spelt(text: str) -> str:
    try:
        return number(Decimal(text))
    except ArithmeticError:
        return quoted(text)


def copies(drafts: Sequence[Draft]) -> list[Axes]:
    """Return the axes of near-copies: values that vary apart from each other are axes of their own."""
    paths = differing(drafts)
    rows = list(dict.fromkeys(tuple(value_at(draft, path) for path in paths) for draft in drafts))
    if not paths:
        return []
    groups = _apart(len(paths), rows)
    axes = []
    for group in groups:
        own = tuple(dict.fromkeys(tuple(row[i] for i in group) for row in rows))
        axes.append(Axes(tuple(paths[i] for i in group), own))
    return axes


def _apart(columns: int, rows: list[tuple[str, ...]]) -> list[list[int]]:
    """Return the finest parts of the columns that pairs show to be independent, if the rows are their product."""
    parts = [[column] for column in range(columns)]
    for left, right in itertools.combinations(range(columns), 2):
        pairs = {(row[left], row[right]) for row in rows}
        if len(pairs) < len({row[left] for row in rows}) * len({row[right] for row in rows}):
            one, other = (next(part for part in parts if column in part) for column in (left, right))
            if one is not other:
                parts.remove(other)
                one.extend(other)
    count = 1
    for part in parts:
        part.sort()
        count *= len({tuple(row[i] for i in part) for row in rows})
    return sorted(parts) if count == len(rows) else [list(range(columns))]


def differing(drafts: Sequence[Draft]) -> list[str]:
    """Return the paths at which drafts differ; a nested block of another variant differs as a whole.

    Raises LmcError (LM1006) for blocks that no axis can tell apart.
    """
    shapes = {tuple((block.kind, block.variant) for block in draft.every) for draft in drafts}
    if len(shapes) > 1:
        one, other = sorted(shapes)[:2]
        kind, variant = next((a or b for a, b in itertools.zip_longest(one, other) if a != b), None) or ("", "")
        message = f"the runs differ in what they are made of: not all have {f'{kind} {variant}'.strip()}"
        raise fail("LM1006", message, help="import them one by one")
    leaves = [draft.leaves() for draft in drafts]
    apart: list[str] = []
    for path in dict.fromkeys(path for own in leaves for path in own):
        if any(path.startswith(f"{block}.") for block in apart):
            continue
        values = [own.get(path) for own in leaves]
        if any(isinstance(value, Block) for value in values):
            variants = {value.variant if isinstance(value, Block) else _variant(drafts[0], path) for value in values}
            if len(variants) > 1:
                apart.append(path)
        elif len({_meant(draft, path, value) for draft, value in zip(drafts, values, strict=True)}) > 1:
            apart.append(path)
    return apart


def _meant(draft: Draft, path: str, value: Any) -> str:
    """Return a value by which drafts can be compared: what a block is called makes no difference."""
    if value is None:
        return value_at(draft, path)
    names = [block.name for block in draft.every]
    return f"block {names.index(value)}" if value in names else str(value)


def value_at(draft: Draft, path: str) -> str:
    """Return the value of a path as an expression, that of the language's default if the draft says nothing.

    Raises LmcError (LM1006) for a default that follows from what the draft does not know.
    """
    value = draft.leaves().get(path)
    if value is not None:
        return value.inline if isinstance(value, Block) else value
    if path in draft.implied:
        return draft.implied[path]
    default = _default(draft, path)
    if hasattr(type(default), "lmc_kind"):
        return f"{variant_of(type(default))} {{}}"
    if isinstance(default, str):
        return quoted(default)
    if default is None or isinstance(default, bool):
        return {None: "none", True: "true", False: "false"}[default]
    if isinstance(default, int | float):
        return number(Decimal(repr(default)))
    raise _partly(path)


def _variant(draft: Draft, path: str) -> str | None:
    """Return the variant of a nested block that is not written; None where there is no block then."""
    default = _default(draft, path)
    return None if default is None else variant_of(type(default))


def _default(draft: Draft, path: str) -> Any:
    """Return what the schema has at a path that is not written, in blocks of the variants that the draft says."""
    reached = [block for block in draft.blocks if path.startswith(draft.reach.get(block.name, "\0"))]
    owner = max(reached, key=lambda block: len(draft.reach[block.name]), default=draft.train)
    leaves, at = draft.leaves(), draft.reach.get(owner.name, "")
    value: Any = REGISTRY[owner.kind][owner.variant]
    for name in path.removeprefix(at).split("."):
        cls = value if isinstance(value, type) else type(value)
        field = fields(cls).get(name) if hasattr(cls, "lmc_kind") else None
        if field is None or field.metadata["derived"]:
            raise _partly(path)
        at += name
        written = leaves.get(at)
        if isinstance(written, Block):
            value = REGISTRY[written.kind][written.variant]
        else:
            value = field.default if isinstance(value, type) else getattr(value, name)
        at += "."
    return value


def _partly(path: str) -> LmcError:
    return fail("LM1006", f"`{path}` is set in some of the runs only", help="set it in all, or in none")
