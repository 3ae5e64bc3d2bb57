"""What is proposed: how a variant, a field, a function or a name is inserted, and what is said about it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ...spec.schema import REGISTRY, UNSUPPORTED, fields, kind_of, members, slot
from ..manual.describe import FieldDoc, describe_field, describe_kind, describe_variant
from ..manual.written import BLOCKS, FUNCTION_DOCS
from ..resolve.cells import Cell, is_map, spelled, takes_value
from ..resolve.declare import Decl, Module
from ..syntax import tree
from ..syntax.parse import KINDS


@frozen
class Item:
    """A proposal. `insert` replaces the word at the cursor; lower `rank` comes first."""

    label: str
    role: str
    insert: str
    detail: str = ""
    doc: str = ""
    rank: int = 5


def top_items() -> Iterator[Item]:
    """Yield what may begin a statement of a file."""
    for kind in sorted(KINDS):
        doc = describe_kind(kind).doc if kind in (*REGISTRY, *BLOCKS) else ""
        yield Item(kind, "kind", f"{kind} ", "block", doc, 2)
    for word, insert in (
        ("import", 'import "" as '),
        ("let", "let "),
        ("assert", "assert "),
        ("edition", "edition = 1"),
    ):
        yield Item(word, "keyword", insert, rank=3)


def variant_items(forms: typing.Mapping[str, type], body: str) -> Iterator[Item]:
    """Yield variants; `body` is what is inserted behind the name."""
    for name, cls in forms.items():
        if name and name not in UNSUPPORTED.get(kind_of(cls), ()):
            yield Item(name, "variant", name + body, kind_of(cls), describe_variant(cls).doc, 1)


def statement(cell: Cell, name: str, written: str) -> str:
    """Return how a statement about a field begins."""
    if fields(cell.cls)[name].metadata["repeat"]:
        return f"{written} "
    if is_map(cell.cls, name):
        return f"{written} {{ }}"
    forms = slot(cell.cls, name)
    if not forms or takes_value(cell.cls, name):
        return f"{written} = "
    return f"{written} {{ }}" if list(forms) == [""] else f"{written} : "


def grid_item(described: FieldDoc, block: bool) -> Item:
    """Return a statement of a grid."""
    insert = f"{described.name} {{ }}" if block else f"{described.name} = "
    return Item(described.name, "field", insert, described.facts(), field_doc(described), 4)


def field_doc(described: FieldDoc) -> str:
    """Return what is said about a field."""
    return "\n\n".join(filter(None, [described.doc, described.notes()]))


def function_item(name: str, rank: int) -> Item:
    """Return a function."""
    described = FUNCTION_DOCS.get(name)
    call, doc = (name, "") if described is None else (described.call, described.doc)
    return Item(name, "function", name, call, doc, rank)


def readable(cell: Cell) -> Iterator[tuple[str, str]]:
    """Yield what an expression may read of a block, with its type."""
    for name, attribute in fields(cell.cls).items():
        if not attribute.metadata["hidden"] and not attribute.metadata["repeat"]:
            yield spelled(name), describe_field(cell.cls, name).type
    for parts in cell.named.values():
        for name, part in parts.items():
            yield name, part.kind
    yield from describe_variant(cell.cls).readable


def name_items(module: Module) -> Iterator[Item]:
    """Yield the names of a file."""
    for name, found in module.names.items():
        if isinstance(found, Decl):
            yield Item(name, "block", name, found.kind, rank=5)
        elif isinstance(found, tree.Let):
            yield Item(name, "let", name, " ".join(found.value.span.text.split()), rank=4)
        else:
            yield Item(name, "import", name, found.source.path, rank=6)


def held_types(annotation: Any) -> Iterator[Any]:
    """Yield an annotation, and what its list holds."""
    yield annotation
    if typing.get_origin(annotation) is tuple:
        yield from members(typing.get_args(annotation)[0])
