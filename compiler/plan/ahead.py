"""What of a block the language is ahead of: it is typed and checked, and this version cannot run it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...spec.plan import Lack
from ...spec.schema import fields, runs
from ..resolve.cells import Cell, spelled

if TYPE_CHECKING:
    from .build import PlanBuilder


def lacks(builder: PlanBuilder, cell: Cell, spec: Any) -> tuple[Lack, ...]:
    """Return what of a block cannot be run, each with its place."""
    return tuple(_lacks(builder, cell, spec))


def _lacks(builder: PlanBuilder, cell: Cell, spec: Any) -> Iterator[Lack]:
    if not runs(cell.cls):
        yield Lack(cell.what, builder.place(cell.span))
        return
    for name, attribute in fields(cell.cls).items():
        ahead = attribute.metadata["ahead"]
        if ahead is not None and ahead(getattr(spec, name)):
            settings = cell.fields.get(name)
            inner = cell.slot(name) if name in cell.slots else None
            span = settings[-1].expr.span if settings else cell.span if inner is None else inner.span
            yield Lack(f"`{spelled(name)}` of {cell.what} as it is set", builder.place(span))
        elif name in cell.slots and (inner := cell.slot(name)) is not None:
            yield from _lacks(builder, inner, getattr(spec, name))
    for name, blocks in cell.named.items():
        held = getattr(spec, name)
        for key, inner in blocks.items() if isinstance(held, dict) else ():
            yield from _lacks(builder, inner, held[key])
