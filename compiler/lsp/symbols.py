"""The outline of a file: blocks, what is nested in them, and their fields."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ...spec.span import Span
from ..syntax import tree


@frozen
class Entry:
    """A line of the outline. `role` is import, constant, block, part or field; `name_span` lies within `span`."""

    name: str
    detail: str
    role: str
    span: Span
    name_span: Span
    inside: tuple[Entry, ...] = ()


def outline(file: tree.File) -> tuple[Entry, ...]:
    """Return the outline of a file."""
    return tuple(_entries(file.items, top=True))


def _entries(items: tuple[tree.Item, ...], *, top: bool = False) -> Iterator[Entry]:
    for item in items:
        if isinstance(item, tree.Import):
            yield Entry(item.name.text, item.path.value, "import", item.span, item.name.span)
        elif isinstance(item, tree.Let):
            yield Entry(item.name.text, _short(item.value), "constant", item.span, item.name.span)
        elif isinstance(item, tree.Assign):
            place = item.path[0].span.to(item.path[-1].span)
            yield Entry(item.dotted, _short(item.value), "field", item.span, place)
        elif isinstance(item, tree.Block):
            name = item.name or item.kind
            base = "" if item.base is None else f" : {item.base.span.text}"
            detail = (item.kind.text if item.name is not None else "") + base
            inside = tuple(_entries(item.items))
            yield Entry(name.text, detail.strip(), "block" if top else "part", item.span, name.span, inside)


def _short(expr: tree.Expr) -> str:
    text = " ".join(expr.span.text.split())
    return text if len(text) <= 40 else text[:37] + "..."
