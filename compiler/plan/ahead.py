"""What of a block the language is ahead of: it is typed and checked, and this version cannot run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ...spec.plan import Lack
from ...spec.schema import fields, runs, slot
from ..resolve.cells import Cell, spelled
from .places import place_of


def lacks(cell: Cell, spec: Any) -> tuple[Lack, ...]:
    """Return what of a block cannot be run, each with its place."""
    return tuple(_lacks(cell, spec)) if may_lack(cell.cls) else ()


def _lacks(cell: Cell, spec: Any) -> Iterator[Lack]:
    if not runs(cell.cls):
        yield Lack(cell.what, place_of(cell.span))
        return
    for name, ahead in _suspects(cell.cls):
        if ahead is not None and ahead(getattr(spec, name)):
            settings = cell.fields.get(name)
            inner = cell.slot(name) if name in cell.slots else None
            span = settings[-1].expr.span if settings else cell.span if inner is None else inner.span
            yield Lack(f"`{spelled(name)}` of {cell.what} as it is set", place_of(span))
        elif ahead is None and name in cell.slots and (inner := cell.slot(name)) is not None:
            yield from _lacks(inner, getattr(spec, name))
    for name, blocks in cell.named.items():
        held = getattr(spec, name)
        for key, inner in blocks.items() if isinstance(held, dict) else ():
            yield from _lacks(inner, held[key])


@cache
def _suspects(cls: Any) -> tuple[tuple[str, Callable[[Any], bool] | None], ...]:
    """Return the fields of a class that may hold what cannot be run: with what says so, or None for slots."""
    return tuple(
        (name, attribute.metadata["ahead"])
        for name, attribute in fields(cls).items()
        if attribute.metadata["ahead"] or any(map(may_lack, slot(cls, name).values()))
    )


@cache
def may_lack(cls: Any) -> bool:
    """Whether this version may be unable to run a block of a class."""
    return not runs(cls) or bool(_suspects(cls)) or any(a.metadata["repeat"] for a in fields(cls).values())
