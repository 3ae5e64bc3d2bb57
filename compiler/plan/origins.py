"""Where values come from: for every field of every block of a run, what set it, strongest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...spec.plan import Origin, Place
from ...spec.schema import fields
from ..resolve.cells import Cell, Setting, is_map, spelled
from ..resolve.problems import Problem
from ..resolve.references import is_slot
from ..resolve.values import shown
from ..resolve.world import World


def leaves(world: World, cell: Cell, prefix: str) -> Iterator[tuple[str, list[Origin]]]:
    """Yield every leaf below a cell with its chain of origins."""
    for name, attribute in fields(cell.cls).items():
        if attribute.metadata["hidden"] or attribute.metadata["repeat"]:
            continue
        path = f"{prefix}{spelled(name)}"
        if is_map(cell.cls, name):
            for key, setting in cell.maps.get(name, {}).items():
                yield f"{path}.{key}", [_origin(setting)]
        elif is_slot(cell, name):
            inner = cell.slot(name)
            if inner is not None:
                yield from leaves(world, inner, path + ".")
        else:
            yield path, chain(world, cell, name)
    for kind, blocks in cell.named.items():
        for name, inner in blocks.items():
            if kind != "stages":
                yield from leaves(world, inner, f"{prefix}{name}.")


def staged(world: World, prefix: str) -> Iterator[tuple[str, list[Origin]]]:
    """Yield what the stages of a world set, each with its chain of origins."""
    for name, fork in world.stages.items():
        for cell in fork.cells.values():
            for path, origins in leaves(fork, cell, f"{prefix}{name}/{cell.name}."):
                if origins and origins[0].source.startswith("stage "):
                    yield path, origins


def chain(world: World, cell: Cell, name: str) -> list[Origin]:
    """Return what set a field, strongest first, down to the schema's default."""
    found = [_origin(setting) for setting in reversed(cell.fields.get(name, []))]
    attribute = fields(cell.cls)[name]
    if cell.named.get("stages") and name in ("steps", "tokens") and world.stage is None:
        found.append(Origin("schema", None, f"derived: the sum of {name} of the stages"))
    elif attribute.metadata["derived"]:
        found.append(Origin("schema", None, f"derived: {attribute.metadata['derived']}"))
    else:
        try:
            default: Any = world.evaluator.default(cell, name)
        except Problem:
            return found
        found.append(Origin("schema default", None, shown(default)))
    return found


def _origin(setting: Setting) -> Origin:
    span = setting.expr.span
    text = " ".join(span.text.split())
    return Origin(setting.origin, Place(span.source.path, span.line, span.column, text), text)
