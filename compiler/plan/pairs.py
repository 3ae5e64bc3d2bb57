"""Fields that differ between blocks of two plans, and at how many of their points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define, field

from ...spec.canonical import canonical_json
from ...spec.difference import Change, FieldWalk
from ...spec.expr import Expr
from ...spec.plan import Node, Point
from ...spec.schema import kind_of
from .comparison import FieldChange
from .renaming import Names, ids_of, translated
from .sides import Side


@define
class PairWalk(FieldWalk):
    """Compares nodes pair by pair, each with its own fields; what it refers to is the next pair."""

    meant = False

    old: Side
    new: Side
    names: Names
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
        found = [ids_of(side) for side in self.sides]
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
            found = tuple(self.specs(translated(old, self.names.renamed), new, ""))
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


def _trees(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_trees, value))
    return value.tree if isinstance(value, Expr) else value
