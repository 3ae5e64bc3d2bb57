"""Where a node of the store was asked for: the spec, its block, and the bytes that were read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from ...spec.plan import Header, Plan


@frozen
class Made:
    """Where a node was asked for.

    Attributes:
        source: as `source_of` returns it. block: the grid or train of that spec.
        inputs: SHA-256 of every file that the node, or what its identity covers, reads, by path, and the commit of
            every repository that a lock holds it to.
    """

    source: dict[str, Any] = Factory(dict)
    block: str = ""
    inputs: dict[str, str] = Factory(dict)


def source_of(header: Header, store: Path) -> dict[str, Any]:
    """Return the spec of a plan, its path relative to the store, with overlays and settings of the command line."""
    file = os.path.relpath(Path(header.sources[0].path).resolve(), store.resolve()) if header.sources else ""
    return {"file": file, "with": list(header.overlays), "set": list(header.settings)}


def blocks_of(plan: Plan) -> dict[str, str]:
    """Return the grid or train that a run, and what is attached to it, belongs to: one that runs unasked if any."""
    found: dict[str, str] = {}
    default = {target.name for target in plan.targets if target.default}
    for point in sorted(plan.points, key=lambda point: point.grid not in default):
        for node_id in (point.run, *point.evals.values(), *point.probes.values()):
            found.setdefault(node_id, point.grid)
    return found
