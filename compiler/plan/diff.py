"""How two plans differ: blocks and fields by value, points, and which runs keep their ids.

Blocks that do the same under another name are renamed, and no value differs; so a file can be split, sorted, formatted
and its constants named without a line here. What a grid varies is compared point by point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from ...spec.canonical import canonical_json
from ...spec.difference import Change, FieldWalk
from ...spec.expr import Expr
from ...spec.identity import identity
from ...spec.plan import Node, Point
from ...spec.schema import fields, kind_of
from .sides import Side

DERIVED = ("automaton",)
"""Kinds that follow from others."""


@frozen
class Block:
    """A block that one side alone has, or one that is called otherwise on the other (`other`)."""

    kind: str
    name: str
    place: str
    other: str = ""


@frozen
class FieldChange:
    """A field of a block that has another value.

    Attributes:
        points: at how many points it differs; 0 for a block that no run reads.
        origins: where the values were set, `file:line`, or what they follow from.
    """

    kind: str
    block: str
    path: str
    old: Any
    new: Any
    points: int
    origins: tuple[str, str]
    derived: bool = False


@frozen
class Runs:
    """The runs of a block: ids that both sides have, and points of one side alone."""

    block: str
    kind: str
    kept: tuple[str, ...]
    changed: tuple[tuple[Point, Point], ...]
    added: tuple[Point, ...]
    removed: tuple[Point, ...]


@frozen
class Comparison:
    """All that differs between two sides."""

    added: tuple[Block, ...]
    removed: tuple[Block, ...]
    renamed: tuple[Block, ...]
    changes: tuple[FieldChange, ...]
    runs: tuple[Runs, ...]

    @property
    def empty(self) -> bool:
        """Whether no value differs."""
        points = any(runs.changed or runs.added or runs.removed for runs in self.runs)
        return not (self.added or self.removed or self.changes or points)


def compare(old: Side, new: Side) -> Comparison:
    """Return how a side differs from an older one."""
    names = _Names(old, new)
    walk = _Walk(old, new, names)
    runs = tuple(_runs(old, new, names, walk))
    walk.unreached()
    return Comparison(*names.blocks(), tuple(walk.changes()), runs)


@define
class _Names:
    """Which blocks of one side are which of the other."""

    old: Side
    new: Side
    renamed: dict[tuple[str, str], str] = Factory(dict)
    gone: list[tuple[str, str]] = Factory(list)
    come: list[tuple[str, str]] = Factory(list)

    def __attrs_post_init__(self) -> None:
        one, two = _ids(self.old), _ids(self.new)
        whole = self.old.declared is not None and self.new.declared is not None
        before = sorted((self.old.declared if whole else None) or one)
        after = sorted((self.new.declared if whole else None) or two)
        self.gone = [block for block in before if block not in after]
        self.come = [block for block in after if block not in before]
        for block in list(self.gone):
            shared = {
                other: len(one.get(block, set()) & two.get(other, set())) for other in self.come if other[0] == block[0]
            }
            best = max(shared, key=lambda other: shared[other], default=None)
            if best is not None and shared[best]:
                self.renamed[block] = best[1]
                self.gone.remove(block)
                self.come.remove(best)
        self._plots()

    def _plots(self) -> None:
        """Find the plots that draw the same under another name; what they say is in the names of other blocks."""
        one, two = ({n.name: n.spec for n in s.plan.nodes.values() if _is_plot(n)} for s in (self.old, self.new))
        for kind, name in [block for block in self.gone if block[0] == "plot" and block[1] in one]:
            known = identity(_translated(one[name], self.renamed))
            same = [other for _, other in self.come if other in two and identity(two[other]) == known]
            if same:
                self.renamed[kind, name] = same[0]
                self.gone.remove((kind, name))
                self.come.remove((kind, same[0]))

    def new_name(self, kind: str, name: str) -> str:
        """Return what a block of the old side is called on the new."""
        return self.renamed.get((kind, name), name)

    def blocks(self) -> tuple[tuple[Block, ...], tuple[Block, ...], tuple[Block, ...]]:
        """Return the blocks that are added, removed and renamed."""
        added = tuple(Block(kind, name, _declared(self.new, kind, name)) for kind, name in self.come)
        removed = tuple(Block(kind, name, _declared(self.old, kind, name)) for kind, name in self.gone)
        renamed = (
            Block(kind, name, _declared(self.new, kind, other), other) for (kind, name), other in self.renamed.items()
        )
        return added, removed, tuple(renamed)


def _is_plot(node: Node) -> bool:
    return kind_of(type(node.spec)) == "plot"


def _ids(side: Side) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    kinds = {target.name: target.kind for target in side.plan.targets}
    for node in side.plan.nodes.values():
        kind = kind_of(type(node.spec))
        if kind not in (*DERIVED, "train"):
            found.setdefault((kind, node.name), set()).add(node.id)
    for point in side.plan.points:
        found.setdefault((kinds[point.grid], point.grid), set()).add(point.run)
    return found


def _declared(side: Side, kind: str, name: str) -> str:
    nodes = side.plan.nodes.values()
    return side.place(next((n for n in nodes if n.name == name and kind_of(type(n.spec)) == kind), None))


def _runs(old: Side, new: Side, names: _Names, walk: _Walk) -> Iterator[Runs]:
    """Yield the runs of each block, and have what differs at their points compared."""
    kinds = {target.name: target.kind for side in (old, new) for target in side.plan.targets}
    before, after = _by_block(old), _by_block(new)
    renamed = {names.new_name(kinds[block], block): block for block in before}
    for block in dict.fromkeys([*renamed, *after]):
        here, there = before.get(renamed.get(block, block), []), after.get(block, [])
        ids = {point.run for point in here} & {point.run for point in there}
        changed, removed, added = [], [], []
        ours = {_key(point): point for point in there}
        by_run = {point.run: point for point in there}
        met: set[str] = set()
        for point in here:
            match = ours.get(_key(point)) or by_run.get(point.run)
            if match is None or _key(match) in met:
                if point.run not in ids:
                    removed.append(point)
                continue
            met.add(_key(match))
            walk.point(point, match)
            if point.run != match.run:
                changed.append((point, match))
        added = [point for point in there if _key(point) not in met and point.run not in ids]
        kept = tuple(dict.fromkeys(point.run for point in here if point.run in ids))
        yield Runs(block, kinds[block], kept, tuple(changed), tuple(added), tuple(removed))


def _by_block(side: Side) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in side.plan.points:
        found.setdefault(point.grid, []).append(point)
    return found


def _key(point: Point) -> str:
    return canonical_json(point.axes)


@define
class _Walk(FieldWalk):
    """Compares nodes pair by pair, each with its own fields; what it refers to is the next pair."""

    meant = False

    old: Side
    new: Side
    names: _Names
    pairs: dict[tuple[str, str], tuple[tuple[Change, ...], list[tuple[str, str]]]] = Factory(dict)
    reached: dict[tuple[str, str], tuple[tuple[str, str], ...]] = Factory(dict)
    counts: Counter[tuple[str, str]] = Factory(Counter)
    seen_in: dict[tuple[str, str], tuple[str, str]] = Factory(dict)
    waiting: list[tuple[str, str]] = Factory(list)
    sides: tuple[Side, Side] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.sides = (self.old, self.new)

    def point(self, old: Point, new: Point) -> None:
        """Compare two runs, and the evaluations and probes of the same names."""
        roots = [(old.run, new.run)]
        for ours, theirs in ((old.evals, new.evals), (old.probes, new.probes)):
            for name, node_id in ours.items():
                kind = kind_of(type(self._node(0, node_id).spec))
                other = theirs.get(self.names.new_name(kind, name))
                if other is not None:
                    roots.append((node_id, other))
        for pair in dict.fromkeys(pair for root in roots for pair in self._closure(root)):
            self.counts[pair] += 1
            self.seen_in.setdefault(pair, (old.grid, new.grid))

    def unreached(self) -> None:
        """Compare the blocks that no matched point has led to, where there is one of the name on each side."""
        found = [_ids(side) for side in self.sides]
        for (kind, name), ids in found[0].items():
            others = found[1].get((kind, self.names.new_name(kind, name)), set())
            if kind in ("grid", "train") or len(ids) != 1 or len(others) != 1:
                continue
            pair = (next(iter(ids)), next(iter(others)))
            if pair not in self.counts:
                self.counts[pair] = 0
                self._pair(pair)

    def changes(self) -> Iterator[FieldChange]:
        """Yield what was found, each change of a field once, with the number of points that have it."""
        counts: Counter[str] = Counter()
        first: dict[str, tuple[tuple[str, str], Change]] = {}
        for pair, count in self.counts.items():
            node = self._node(1, pair[1])
            for change in self._pair(pair)[0]:
                key = canonical_json([kind_of(type(node.spec)), node.name, change.path, change.old, change.new])
                counts[key] += count
                first.setdefault(key, (pair, change))
        for key, (pair, change) in first.items():
            yield self._field_change(pair, change, counts[key])

    def _field_change(self, pair: tuple[str, str], change: Change, count: int) -> FieldChange:
        origins, derived = [], []
        for number, side in enumerate(self.sides):
            node = self._node(number, pair[number])
            grid = self.seen_in.get(pair, ("", ""))[number]
            place, how = side.origin(grid, node.name, change.path)
            origins.append(place or how or side.place(node))
            derived.append(how.startswith("derived"))
        node = self._node(1, pair[1])
        kind, both = kind_of(type(node.spec)), (origins[0], origins[1])
        return FieldChange(kind, node.name, change.path, change.old, change.new, count, both, all(derived))

    def _node(self, side: int, node_id: str) -> Node:
        return self.sides[side].plan.nodes[node_id]

    def _closure(self, root: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        if root not in self.reached:
            self.reached[root] = (root,)
            below = [pair for other in self._pair(root)[1] for pair in self._closure(other)]
            self.reached[root] = tuple(dict.fromkeys([root, *below]))
        return self.reached[root]

    def _pair(self, pair: tuple[str, str]) -> tuple[tuple[Change, ...], list[tuple[str, str]]]:
        """Return the changes of a pair's own fields, and the pairs that it refers to."""
        if pair not in self.pairs:
            old, new = self._node(0, pair[0]).spec, self._node(1, pair[1]).spec
            self.waiting = []
            found = tuple(self.specs(_translated(old, self.names.renamed), new, ""))
            self.pairs[pair] = (found, self.waiting)
        return self.pairs[pair]

    def _values(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Leave out expressions that are written otherwise and mean the same."""
        if _trees(old) != _trees(new):
            yield from super()._values(old, new, path)

    def references(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield a change where a field refers to another block; what it refers to is compared for itself."""
        ours = (old,) if isinstance(old, str) else old or ()
        theirs = (new,) if isinstance(new, str) else new or ()
        names = [self._named(0, ours, path), self._named(1, theirs, path)]
        if path == "run" or (len(ours) == len(theirs) and all(map(self._same, ours, theirs))):
            if path not in ("run", "from"):
                self.waiting += [(a.split("/")[0], b.split("/")[0]) for a, b in zip(ours, theirs, strict=True)]
            return
        yield Change(path, *(name[0] if isinstance(old, str) and len(name) == 1 else name or None for name in names))

    def _same(self, old: str, new: str) -> bool:
        """Whether two references are to one block: of one id, or of one name on both sides."""
        (one, _, table), (two, _, other) = old.partition("/"), new.partition("/")
        if one not in self.sides[0].plan.nodes or two not in self.sides[1].plan.nodes:
            return old == new
        a, b = self._node(0, one), self._node(1, two)
        kind = kind_of(type(a.spec))
        return table == other and (a.id == b.id or self.names.new_name(kind, a.name) == b.name)

    def _named(self, side: int, ids: tuple[str, ...], path: str) -> list[str]:
        nodes = self.sides[side].plan.nodes
        return [nodes[i.split("/")[0]].name if i.split("/")[0] in nodes else i for i in ids]


def _translated(spec: Any, renamed: dict[tuple[str, str], str]) -> Any:
    """Return a spec of the old side with what it says of blocks by name said in the names of the new side."""
    if kind_of(type(spec)) != "plot":
        return spec
    heads = {name: other for (_, name), other in renamed.items()}
    changes: dict[str, Any] = {"sources": tuple(heads.get(name, name) for name in spec.sources)}
    for name in fields(type(spec)):
        value = getattr(spec, name)
        if isinstance(value, Expr):
            changes[name] = _renamed(value, heads)
        elif isinstance(value, tuple) and any(isinstance(item, Expr) for item in value):
            changes[name] = tuple(_renamed(item, heads) for item in value)
    return evolve(spec, **changes)


def _trees(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_trees, value))
    return value.tree if isinstance(value, Expr) else value


def _renamed(expr: Expr, heads: dict[str, str]) -> Expr:
    return Expr(_renamed_tree(expr.tree, heads), expr.text)


def _renamed_tree(tree: Any, heads: dict[str, str]) -> Any:
    if not isinstance(tree, tuple) or not tree:
        return tree
    if tree[0] == "name":
        head, dot, rest = tree[1].partition(".")
        return ("name", heads.get(head, head) + dot + rest)
    return tuple(_renamed_tree(item, heads) if isinstance(item, tuple) else item for item in tree)
