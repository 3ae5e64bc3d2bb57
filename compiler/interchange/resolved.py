"""Pass: runs of a plan as one document of plain values, with no reference, expression or default left to resolve."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ...spec.diagnostic import fail
from ...spec.exported import exported, without_password
from ...spec.plan import Node, Plan, Point, closure, references
from ...spec.schema import kind_of

FORMAT = 1


def chosen_points(plan: Plan, names: Sequence[str]) -> list[Point]:
    """Return the points of the named blocks and runs (by name or id), or of what `lmc run` would run.

    Raises LmcError (LM0807) for a name that has no run.
    """
    if not names:
        default = {target.name for target in plan.targets if target.default}
        return [point for point in plan.points if point.grid in default]
    found: list[Point] = []
    for name in names:
        named = [point for point in plan.points if name in (point.grid, point.name, point.run)]
        if not named:
            known = dict.fromkeys(name for point in plan.points for name in (point.grid, point.name))
            near = difflib.get_close_matches(name, known, 1)
            blocks = ", ".join(dict.fromkeys(point.grid for point in plan.points)) or "none"
            help = f"did you mean `{near[0]}`?" if near else f"blocks with runs: {blocks}"
            raise fail("LM0807", f"no run belongs to `{name}`", help=help)
        found += [point for point in named if point not in found]
    return found


def document(plan: Plan, points: Sequence[Point]) -> dict[str, Any]:
    """Return the document of runs: where they come from, and each with its blocks by name."""
    return {
        "format": FORMAT,
        "edition": plan.header.edition,
        "source": Path(plan.header.sources[0].path).name,
        "overlays": list(plan.header.overlays),
        "settings": [without_password(setting) for setting in plan.header.settings],
        "runs": list(Resolver(plan).runs(points)),
    }


@define
class Resolver:
    """Makes runs of a plan plain; blocks that runs share are made once."""

    plan: Plan
    made: dict[tuple[str, ...], dict[str, Any]] = Factory(dict)

    def runs(self, points: Sequence[Point]) -> Iterator[dict[str, Any]]:
        """Yield each run with everything that it is made from."""
        for point in points:
            yield self.run(point)

    def run(self, point: Point) -> dict[str, Any]:
        """Return a run: what it is called, and its blocks in an order in which inputs come first."""
        observers = {**point.evals, **point.probes}
        nodes = [
            self.plan.nodes[node_id]
            for node_id in closure(self.plan.nodes, [point.run, *observers.values()])
            if kind_of(type(self.plan.nodes[node_id].spec)) != "automaton"
        ]
        names = _names(nodes, {node_id: name for name, node_id in observers.items()})
        return {
            "run": point.name,
            "id": point.run,
            "block": point.grid,
            "axes": point.axes,
            "values": point.values,
            "train": names[point.run],
            "evals": list(point.evals),
            "probes": list(point.probes),
            "blocks": {names[node.id]: self._block(node, names) for node in nodes},
        }

    def _block(self, node: Node, names: dict[str, str]) -> dict[str, Any]:
        key = (node.id, *(names.get(node_id, "") for node_id in references(node.spec)))
        if key not in self.made:
            self.made[key] = exported(node.spec, lambda node_id: names[node_id], self.plan.header.root)
        return self.made[key]


def _names(nodes: Sequence[Node], known: dict[str, str]) -> dict[str, str]:
    """Return a name for every node: that of its block, counted where several nodes come from one block."""
    names = dict(known)
    taken = set(names.values())
    for node in nodes:
        if node.id in names:
            continue
        name, count = node.name, 1
        while name in taken:
            count += 1
            name = f"{node.name}-{count}"
        names[node.id] = name
        taken.add(name)
    return names
