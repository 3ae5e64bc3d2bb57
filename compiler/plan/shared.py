"""Runs that are one: trains of one id whose settings differ in what is no part of what a run is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ...spec.diagnostic import Diagnostic
from ...spec.difference import Change, FieldWalk
from ...spec.plan import Node, references
from ..resolve.cells import Cell
from ..resolve.world import World
from .places import span_at

if TYPE_CHECKING:
    from .build import PlanBuilder


class _Settings(FieldWalk):
    """Compares all that is written, whether or not identities cover it."""

    meant = False

    def references(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield a reference to another block."""
        if old != new:
            yield Change(path, old, new)


@frozen
class Running:
    """A run that goes without being named, while it is planned.

    Attributes:
        axes: keys of its grid's axes. told: settings of this train, or of this grid, of which something was said.
    """

    root: Cell
    name: str
    axes: Collection[str]
    told: set[str]


def claim(builder: PlanBuilder, world: World, cell: Cell, node: Node) -> None:
    """Let a run that goes without being named have its settings in the plan, where none did before it.

    So a base has those of what is derived from it, and of several runs the first one's hold: the others are told.
    """
    run = builder.running
    if run is None or cell is not run.root:
        return
    known, owner = builder.nodes[node.id], builder.owners.get(node.id)
    builder.owners.setdefault(node.id, run.name)
    if known is node:
        return
    path = next((change.path for change in _Settings().specs(known.spec, node.spec, "")), None)
    if path is None:
        return
    if owner is None:
        builder.nodes[node.id], builder.replaced = node, True
        return
    if path not in run.told:
        run.told.add(path)
        builder.diagnostics.add(_told(builder, world, cell, path, owner))


def _told(builder: PlanBuilder, world: World, cell: Cell, path: str, owner: str) -> Diagnostic:
    run = builder.running
    assert run is not None
    message = f"`{run.name}` and `{owner}` are one run: `{path}` is no part of what it is, and that of `{owner}` holds"
    apart = f'tell the runs of the grid apart with identity += ["{path.split(".")[0]}"], or drop the axis'
    help = apart if path in run.axes else f"set it alike in both, or in `{owner}` alone"
    span = span_at(world, cell, path)
    return Diagnostic("LM0512", message, span, "set here", (), help, severity="warning")


def in_order(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return nodes so that each comes behind those that it refers to, and else in the order that they have."""
    found: dict[str, Node] = {}

    def add(node_id: str) -> None:
        if node_id not in found:
            for read in references(nodes[node_id].spec):
                add(read)
            found[node_id] = nodes[node_id]

    for node_id in nodes:
        add(node_id)
    return found
