"""`lmc diff` as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import asdict

from ...spec.plan import Point
from .comparison import Comparison, FieldChange, Runs
from .sides import Side

SHOWN = 3
"""Most names of points in a folded line."""


def diff_text(old: Side, new: Side, found: Comparison, whole: bool) -> Iterator[str]:
    """Yield the lines of `lmc diff`; `whole`: every point has its own."""
    for block in found.renamed:
        yield f"  {block.kind} {block.name} is now called {block.other}"
    for block in found.removed:
        yield f"- {block.kind} {block.name}{_at(block.place)}"
    for block in found.added:
        yield f"+ {block.kind} {block.name}{_at(block.place)}"
    for change in sorted(found.changes, key=lambda change: change.derived):
        yield _change(change)
    for runs in found.runs:
        yield from _points(runs, whole)
    if found.empty:
        yield f"no value differs between {old.label} and {new.label}"
    for runs in found.runs:
        count = len(runs.kept) + len({new_point.run for _, new_point in runs.changed} | {p.run for p in runs.added})
        told = f"{len(runs.kept):,} of {count:,} run{'s' * (count != 1)}"
        if count:
            yield f"{runs.kind} {runs.block}: {told} keep{'s' * (count == 1)} {'its id' if count == 1 else 'their ids'}"


def diff_json(old: Side, new: Side, found: Comparison) -> dict[str, Any]:
    """Return all of it for machines."""
    return {
        "from": old.label,
        "to": new.label,
        "empty": found.empty,
        "blocks": {
            "added": [asdict(block) for block in found.added],
            "removed": [asdict(block) for block in found.removed],
            "renamed": [{"kind": b.kind, "from": b.name, "to": b.other, "place": b.place} for b in found.renamed],
        },
        "changes": [_change_json(change) for change in found.changes],
        "runs": [
            {
                "block": runs.block,
                "kind": runs.kind,
                "kept": list(runs.kept),
                "changed": [{"name": b.name, "from": a.run, "to": b.run} for a, b in runs.changed],
                "added": [_point_json(point) for point in runs.added],
                "removed": [_point_json(point) for point in runs.removed],
            }
            for runs in found.runs
        ],
    }


def _change_json(change: FieldChange) -> dict[str, Any]:
    plain = {"kind": change.kind, "block": change.block, "path": change.path, "old": change.old, "new": change.new}
    return {**plain, "points": change.points, "derived": change.derived, "origins": list(change.origins)}


def _point_json(point: Point) -> dict[str, Any]:
    return {"name": point.name, "run": point.run, "axes": point.axes}


def _change(change: FieldChange) -> str:
    where = f" at {change.points:,} runs" if change.points > 1 else ""
    values = f"{_value(change.old)} -> {_value(change.new)}"
    places = " -> ".join(dict.fromkeys(place for place in change.origins if place))
    path = f".{change.path}" if change.path else ""
    return f"~ {change.kind} {change.block}{path}: {values}{where}{_at(places)}"


def _points(runs: Runs, whole: bool) -> Iterator[str]:
    for sign, points in (("-", runs.removed), ("+", runs.added)):
        if not points or runs.kind != "grid":
            continue
        if whole:
            yield from (f"{sign} {runs.block} {point.name}  {point.run}" for point in points)
        else:
            yield f"{sign} {len(points):,} point{'s' * (len(points) != 1)} of {runs.block}: {_names(points)}"
    if whole:
        yield from (f"~ {runs.block} {new.name}  {old.run} -> {new.run}" for old, new in runs.changed)


def _names(points: Sequence[Point]) -> str:
    names = [point.name for point in points]
    if len(names) > 2 * SHOWN:
        names = [*names[:SHOWN], "...", names[-1]]
    return ", ".join(names)


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _at(place: str) -> str:
    return f"   {place}" if place else ""
