"""What follows from a file and is written nowhere in it, shown at the line that it follows from."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ...spec.model import Attention, Transformer
from ...spec.schema import fields
from ..plan.why import value_text
from ..resolve.cells import Cell
from ..resolve.declare import Decl
from ..resolve.problems import Problem
from ..syntax import tree
from .places import Place
from .workspace import Analysis


@frozen
class Hint:
    """A text to show behind a character of the file."""

    offset: int
    text: str


def hints(analysis: Analysis, start: int, end: int) -> list[Hint]:
    """Return the hints of the blocks that meet [start, end)."""
    if analysis.module is None or analysis.names is None:
        return []
    blocks = [item for item in analysis.module.file.items if isinstance(item, tree.Block)]
    found: list[Hint] = []
    for block in blocks:
        named = None if block.name is None else analysis.module.names.get(block.name.text)
        if block.span.start < end and start < block.span.end and isinstance(named, Decl) and named.span == block.span:
            found += _of_block(analysis, named, block)
    return [hint for hint in found if start <= hint.offset <= end]


def _of_block(analysis: Analysis, decl: Decl, block: tree.Block) -> Iterator[Hint]:
    assert analysis.names is not None
    head = block.span.source.text.index("{", (block.base or block.name or block.kind).span.end)
    if told := facts(analysis, decl):
        yield Hint(head, ", ".join(told))
    place = analysis.names.lookup.places.of(decl)
    if place is not None and decl.kind == "model":
        for item, attribute, text in _written(place, block.items):
            yield from _of_field(place, item, attribute, text)


def _written(place: Place, items: tuple[tree.Item, ...]) -> Iterator[tuple[Cell, str, tree.Assign]]:
    """Yield the fields that a model writes, those of its nested blocks too, with the cell that holds them."""
    for item in items:
        if isinstance(item, tree.Assign) and len(item.path) == 1:
            yield place.cell, item.path[0].text, item
        elif isinstance(item, tree.Block) and item.kind.text in fields(place.cell.cls):
            inner = place.cell.slots.get(item.kind.text)
            if isinstance(inner, Cell):
                yield from _written(Place(inner, place.world), item.items)


def _of_field(place: Place, cell: Cell, name: str, item: tree.Assign) -> Iterator[Hint]:
    if cell is place.cell and name == "tokenizer" and not cell.fields.get("vocab"):
        value = value_text(place.world, cell, "vocab")
        if value is not None and value.isdigit():
            yield Hint(item.span.end, f"vocab {int(value):,}")
    if cell.cls is Attention and name == "heads":
        size = _head_size(place, cell)
        if size is not None:
            yield Hint(item.span.end, f"head size {size:,}")


def _head_size(place: Place, cell: Cell) -> int | None:
    try:
        mixer, width = place.world.spec(cell), place.world.evaluator.value(place.cell, "width")
    except Problem:
        return None
    return mixer.head_size(width) if mixer.head_dim or width % mixer.heads == 0 else None


def facts(analysis: Analysis, decl: Decl) -> list[str]:
    """Return what follows about a block as a whole: parameters, vocabulary, steps, points and runs."""
    if analysis.names is None:
        return []
    if decl.kind == "grid":
        return _points(analysis, decl)
    place = analysis.names.lookup.places.of(decl)
    if place is None or decl.kind == "overlay":
        return []
    if place.cell.cls is Transformer:
        return _counted(place, "params", "parameters")
    if decl.kind == "tokenizer":
        return _counted(place, "vocab", "tokens")
    if decl.kind == "train":
        names = [n for n in ("steps", "tokens", "epochs") if not place.cell.fields.get(n)]
        return [fact for name in names for fact in _counted(place, name, name)]
    return []


def _counted(place: Place, name: str, unit: str) -> list[str]:
    value = value_text(place.world, place.cell, name)
    return [f"{int(value):,} {unit}"] if value is not None and value.isdigit() else []


def _points(analysis: Analysis, decl: Decl) -> list[str]:
    grid = None if analysis.builder is None else analysis.builder.grids.get(decl.name)
    if grid is None or grid.draft.decl is not decl:
        return []
    counts = analysis.counts.get(decl.name)
    told = f"{grid.total:,} points"
    if counts is None:
        return [told]
    kept = f"{counts.points:,} of {told}" if counts.points != grid.total else told
    return [kept, f"{counts.runs:,} run{'s' if counts.runs != 1 else ''}"]
