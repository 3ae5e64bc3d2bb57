"""What may stand at a cursor: fields, variants, values, names, functions and keywords."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from attrs import frozen

from ...spec.schema import REGISTRY, UNSUPPORTED, fields, hints, kind_of, members, optional, slot
from ...spec.units import Env, FilePath, Glob
from ..manual.describe import FieldDoc, describe_field, describe_kind, describe_variant
from ..manual.written import BLOCKS, FUNCTION_DOCS
from ..plan.plots import RECORD_COLUMNS, metrics_of
from ..resolve.cells import Cell, is_map, spelled, takes_value
from ..resolve.declare import Decl, Module
from ..resolve.draft import STATEMENTS
from ..resolve.evaluate import is_late
from ..resolve.functions import FUNCTIONS
from ..resolve.late import FUNCTIONS as LATE_FUNCTIONS
from ..syntax import tree
from ..syntax.parse import KINDS
from .cursor import Cursor, cursor_at
from .names import Names, View
from .places import Place, Target, repeated_field
from .surroundings import Surroundings, follow, surroundings
from .workspace import Analysis


@frozen
class Item:
    """A proposal. `insert` replaces the word at the cursor; lower `rank` comes first."""

    label: str
    role: str
    insert: str
    detail: str = ""
    doc: str = ""
    rank: int = 5


@frozen
class Completion:
    """Proposals, and where the word begins that they replace."""

    start: int
    items: tuple[Item, ...]


def complete(analysis: Analysis, offset: int) -> Completion:
    """Return what may stand at a character of the file."""
    cursor = cursor_at(analysis.source.text, offset)
    if analysis.names is None or cursor.comment:
        return Completion(offset, ())
    found: dict[str, Item] = {}
    for item in _Proposals(analysis, analysis.names, cursor).items():
        found.setdefault(item.label, item)
    return Completion(cursor.start, tuple(sorted(found.values(), key=lambda item: (item.rank, item.label))))


class _Proposals:
    def __init__(self, analysis: Analysis, names: Names, cursor: Cursor) -> None:
        self.analysis, self.names, self.cursor = analysis, names, cursor
        self.around: Surroundings = surroundings(names, cursor)

    def items(self) -> Iterator[Item]:
        """Yield what may stand here, by where the cursor is in its statement."""
        words = [token.type for token in self.cursor.statement]
        if self.cursor.assigned is not None:
            yield from self._value(self.cursor.assigned)
        elif words[:1] == ["ASSERT"]:
            yield from self._expression(self.around.view)
        elif self.cursor.quoted:
            return
        elif words[-1:] == ["COLON"]:
            yield from self._bases()
        elif not words:
            yield from _top() if self.around.top else self._statements()
        elif self.cursor.chain:
            yield from self._path(self.cursor.chain)
        elif words == ["NAME"] and self.around.place is not None:
            yield from self._repeated(self.around.place.cell, str(self.cursor.statement[0]))

    def _statements(self) -> Iterator[Item]:
        if self.around.grid:
            for described in BLOCKS["grid"].fields(describe_field):
                yield _field_item(described, described.type.startswith("block"))
        if self.around.place is not None and not self.around.keys:
            yield from self._fields(self.around.place.cell, 6 if self.around.grid else 5)

    def _fields(self, cell: Cell, rank: int = 5) -> Iterator[Item]:
        """Yield the fields of a block as statements, or as the beginning of a path."""
        for name, attribute in fields(cell.cls).items():
            if attribute.metadata["hidden"]:
                continue
            described = describe_field(cell.cls, name)
            insert = _statement(cell, name, described.name)
            if self.around.axes or self.cursor.chain:
                insert = f"{described.name} = " if not slot(cell.cls, name) else described.name
            yield Item(described.name, "field", insert, described.facts(), _doc(described), rank - described.required)
        for parts in cell.named.values():
            for name, part in parts.items():
                yield Item(name, "part", name, part.kind, rank=rank)
        if cell.parent is None and not self.around.axes and not self.cursor.chain:
            yield Item("with", "keyword", "with = []", "overlays", "Overlays that lie over this block.", rank + 1)

    def _repeated(self, cell: Cell, keyword: str) -> Iterator[Item]:
        """Yield the names of the repeated blocks that are there already: one of them is edited."""
        grids = self.analysis.builder.grids.values() if self.analysis.builder is not None else ()
        for name in (name for grid in grids if self.around.grid and keyword == "zip" for name in grid.draft.zips):
            yield Item(name, "part", f"{name} {{ }}", "zip")
        for name, part in cell.named.get(repeated_field(cell, keyword) or "", {}).items():
            yield Item(name, "part", f"{name} {{ }}", part.kind)

    def _path(self, chain: tuple[str, ...]) -> Iterator[Item]:
        if self.around.grid and chain[0] == "base":
            chain = chain[1:]
        at: Target = self.around.place
        for name in chain:
            at = self.names.places.member(at, name)[1] if isinstance(at, Place) else None
        if isinstance(at, Place):
            yield from self._fields(at.cell)

    def _bases(self) -> Iterator[Item]:
        """Yield what may stand behind a colon: variants, and blocks of the kind."""
        header = [str(token) for token in self.cursor.statement if token.type == "NAME"]
        place = self.around.place
        if self.around.top:
            kind = header[0] if header else ""
            yield from _variants(REGISTRY.get(kind, {}), " { }")
            yield from self._blocks(tuple(KINDS) if kind == "overlay" else (kind,))
        elif place is not None and header:
            name = repeated_field(place.cell, header[0]) or header[0]
            known = fields(place.cell.cls).get(name)
            if known is not None and known.metadata["ref"]:
                yield from _variants(REGISTRY.get(known.metadata["ref"], {}), " { }")
                yield from self._blocks((known.metadata["ref"],))
            elif known is not None:
                yield from _variants(slot(place.cell.cls, name), " { }")

    def _value(self, path: tuple[str, ...]) -> Iterator[Item]:
        view, place = self.around.view, self.around.place
        if self.around.grid and path and path[0] in STATEMENTS:
            if path in (("base",), ("with",)):
                yield from self._blocks(("train",) if path == ("base",) else ("overlay",))
                return
            yield from self._expression(view)
            return
        owner, name = (None, None) if place is None else follow(self.names, place, path)
        known = None if owner is None or name is None else fields(owner.cell.cls).get(name)
        if path == ("with",):
            yield from self._blocks(("overlay",))
        elif owner is None or name is None or known is None:
            yield from self._expression(view)
        elif is_late(owner.cell.cls, name):
            yield from self._results(self.names.over_results(view))
        else:
            if not self.cursor.chain:
                yield from self._typed(owner.cell, name)
            yield from self._expression(view)

    def _typed(self, cell: Cell, name: str) -> Iterator[Item]:
        """Yield the values that the type of a field names."""
        known = fields(cell.cls)[name]
        plain = [m for member in members(hints(cell.cls)[name]) for m in _inner(member)]
        for word in (word for m in plain if typing.get_origin(m) is Literal for word in typing.get_args(m)):
            yield Item(word, "value", word if self.cursor.quoted else f'"{word}"', spelled(name), rank=1)
        if self.cursor.quoted:
            return
        if known.metadata["ref"]:
            kinds = {"source": ("train", "grid", "probe")}.get(known.metadata["ref"], (known.metadata["ref"],))
            yield from self._blocks(kinds)
        yield from _variants(slot(cell.cls, name), " { }")
        for word, wanted in (("true", bool in plain), ("false", bool in plain), ("none", optional(cell.cls, name))):
            if wanted:
                yield Item(word, "keyword", word, rank=2)
        for function, kind in (("file", FilePath), ("files", Glob), ("env", Env)):
            if kind in plain:
                yield _function(function, 1)
        yield Item("unset", "keyword", "unset", "back to the default", rank=8)

    def _expression(self, view: View) -> Iterator[Item]:
        """Yield what an expression may read: behind a dot what is there, else everything in scope."""
        if self.cursor.quoted:
            return
        if self.cursor.chain is not None:
            yield from self._members(view, self.cursor.chain)
            return
        near = self.cursor.near
        inner = [str(name) for word, name in pairwise(near) if word.type == "FOR" and name.type == "NAME"]
        for variable in (*inner, *view.variables):
            yield Item(variable, "variable", variable, rank=3)
        for depth, place in enumerate(view.places):
            for name, described in _readable(place.cell):
                yield Item(name, "field", name, described, rank=min(4 + depth, 6))
        yield from _names(view.module)
        for function in FUNCTIONS:
            yield _function(function, 7)
        for word in ("if", "else", "for", "in", "not", "and", "or", "true", "false"):
            yield Item(word, "keyword", word, rank=9)

    def _results(self, view: View) -> Iterator[Item]:
        """Yield what a column of a plot or a condition of a run may read."""
        if self.cursor.chain is not None:
            behind = ".".join(self.cursor.chain) + "."
            for column in sorted(RECORD_COLUMNS):
                if column.startswith(behind):
                    yield Item(
                        column.removeprefix(behind), "column", column.removeprefix(behind), "of the records", rank=1
                    )
            head = view.module.names.get(self.cursor.chain[0])
            if isinstance(head, Decl) and head.kind == "eval" and self.analysis.builder is not None:
                place = self.names.places.of(head)
                for metric in metrics_of(self.analysis.builder, place.cell.cls) if place is not None else ():
                    yield Item(metric, "column", metric, "metric", rank=1)
                return
        else:
            for column in sorted(RECORD_COLUMNS):
                yield Item(column, "column", column, "of the records", rank=2)
            for function in LATE_FUNCTIONS:
                yield _function(function, 3)
            for name, found in view.module.names.items():
                if isinstance(found, Decl) and found.kind == "eval":
                    yield Item(name, "block", name, "eval", rank=1)
        yield from self._expression(view)

    def _members(self, view: View, chain: tuple[str, ...]) -> Iterator[Item]:
        at = self.names.walk(chain, view)
        if isinstance(at, Module):
            yield from _names(at)
        elif isinstance(at, Place):
            for name, described in _readable(at.cell):
                yield Item(name, "field", name, described)
            yield Item("kind", "property", "kind", "the variant", rank=6)

    def _blocks(self, kinds: tuple[str, ...]) -> Iterator[Item]:
        """Yield the blocks of some kinds, those of imports too; for tables their parts."""
        chain = self.cursor.chain
        view = View(self.around.view.module)
        modules: list[tuple[str, Any]] = [("", view.module)]
        if chain:
            modules = [("", self.names.walk(chain, view))]
        else:
            modules += [(f"{n}.", m) for n, m in view.module.names.items() if isinstance(m, Module)]
        for prefix, module in modules:
            if isinstance(module, Module):
                for decl in module.decls:
                    if decl.kind in kinds:
                        name = f"{prefix}{decl.name}"
                        yield Item(name, "block", name, decl.kind, rank=1)
                    yield from self._parts(f"{prefix}{decl.name}", decl, kinds)

    def _parts(self, name: str, decl: Decl, kinds: tuple[str, ...]) -> Iterator[Item]:
        place = self.names.places.of(decl) if decl.kind not in ("grid", "overlay") else None
        for parts in place.cell.named.values() if place is not None else ():
            for part, cell in parts.items():
                if cell.kind in kinds:
                    yield Item(f"{name}.{part}", "part", f"{name}.{part}", cell.kind, rank=1)


def _top() -> Iterator[Item]:
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


def _variants(forms: typing.Mapping[str, type], body: str) -> Iterator[Item]:
    """Yield variants; `body` is what is inserted behind the name."""
    for name, cls in forms.items():
        if name and name not in UNSUPPORTED.get(kind_of(cls), ()):
            yield Item(name, "variant", name + body, kind_of(cls), describe_variant(cls).doc, 1)


def _statement(cell: Cell, name: str, written: str) -> str:
    """Return how a statement about a field begins."""
    if fields(cell.cls)[name].metadata["repeat"]:
        return f"{written} "
    if is_map(cell.cls, name):
        return f"{written} {{ }}"
    forms = slot(cell.cls, name)
    if not forms or takes_value(cell.cls, name):
        return f"{written} = "
    return f"{written} {{ }}" if list(forms) == [""] else f"{written} : "


def _field_item(described: FieldDoc, block: bool) -> Item:
    insert = f"{described.name} {{ }}" if block else f"{described.name} = "
    return Item(described.name, "field", insert, described.facts(), _doc(described), 4)


def _doc(described: FieldDoc) -> str:
    return "\n\n".join(filter(None, [described.doc, described.notes()]))


def _function(name: str, rank: int) -> Item:
    described = FUNCTION_DOCS.get(name)
    call, doc = (name, "") if described is None else (described.call, described.doc)
    return Item(name, "function", name, call, doc, rank)


def _readable(cell: Cell) -> Iterator[tuple[str, str]]:
    for name, attribute in fields(cell.cls).items():
        if not attribute.metadata["hidden"] and not attribute.metadata["repeat"]:
            yield spelled(name), describe_field(cell.cls, name).type
    for parts in cell.named.values():
        for name, part in parts.items():
            yield name, part.kind
    yield from describe_variant(cell.cls).readable


def _names(module: Module) -> Iterator[Item]:
    for name, found in module.names.items():
        if isinstance(found, Decl):
            yield Item(name, "block", name, found.kind, rank=5)
        elif isinstance(found, tree.Let):
            yield Item(name, "let", name, " ".join(found.value.span.text.split()), rank=4)
        else:
            yield Item(name, "import", name, found.source.path, rank=6)


def _inner(annotation: Any) -> Iterator[Any]:
    """Yield an annotation, and what its list holds."""
    yield annotation
    if typing.get_origin(annotation) is tuple:
        yield from members(typing.get_args(annotation)[0])
