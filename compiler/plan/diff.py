"""How two plans differ: blocks and fields by value, points, and which runs keep their ids.

Blocks that do the same under another name are renamed, and no value differs; so a file can be split, sorted, formatted
and its constants named without a line here. What a grid varies is compared point by point.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...spec.canonical import canonical_json
from ...spec.plan import Point
from .comparison import Comparison, Runs
from .pairs import PairWalk
from .renaming import Names
from .sides import Side


def compare(old: Side, new: Side) -> Comparison:
    """Return how a side differs from an older one."""
    names = Names(old, new)
    walk = PairWalk(old, new, names)
    runs = tuple(_runs(old, new, names, walk))
    walk.unreached()
    return Comparison(*names.blocks(), tuple(walk.changes()), runs)


def _runs(old: Side, new: Side, names: Names, walk: PairWalk) -> Iterator[Runs]:
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
