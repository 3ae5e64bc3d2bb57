"""What may stand at a cursor, by where in its statement the cursor is."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from attrs import frozen

from ...spec.schema import REGISTRY, fields, hints, kind_of, members, optional, referred, slot
from ...spec.units import Env, FilePath, Glob
from ..manual.describe import describe_field
from ..manual.written import BLOCKS
from ..plan.plots import RECORD_COLUMNS, metrics_of
from ..resolve.cells import Cell, spelled
from ..resolve.declare import Decl, Module
from ..resolve.draft import STATEMENTS
from ..resolve.evaluate import is_late
from ..resolve.functions import FUNCTIONS
from ..resolve.late import FUNCTIONS as LATE_FUNCTIONS
from ..syntax.parse import KINDS
from .cursor import Cursor, cursor_at
from .lookup import Lookup, View
from .places import Place, Target, repeated_field
from .proposals import (
    Item,
    field_doc,
    function_item,
    grid_item,
    held_types,
    name_items,
    readable,
    statement,
    top_items,
    variant_items,
)
from .surroundings import Surroundings, follow, surroundings
from .workspace import Analysis


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
    for item in _Proposals(analysis, analysis.names.lookup, cursor).items():
        found.setdefault(item.label, item)
    return Completion(cursor.start, tuple(sorted(found.values(), key=lambda item: (item.rank, item.label))))


class _Proposals:
    def __init__(self, analysis: Analysis, lookup: Lookup, cursor: Cursor) -> None:
        self.analysis, self.lookup, self.cursor = analysis, lookup, cursor
        self.around: Surroundings = surroundings(lookup, cursor)

    def items(self) -> Iterator[Item]:
        """Yield what may stand here, by where the cursor is in its statement."""
        words = [token.type for token in self.cursor.statement]
        if self.cursor.assigned is not None:
            yield from self._value(self.cursor.assigned)
        elif words[:1] == ["ASSERT"]:
            yield from self._expression(self.around.view)
        elif words[:1] == ["IMPORT"] and self.cursor.quoted:
            yield from self._files()
        elif self.cursor.quoted:
            return
        elif words[-1:] == ["COLON"]:
            yield from self._bases()
        elif not words:
            yield from top_items() if self.around.top else self._statements()
        elif self.cursor.chain:
            yield from self._path(self.cursor.chain)
        elif words == ["NAME"] and self.around.place is not None:
            yield from self._repeated(self.around.place.cell, str(self.cursor.statement[0]))

    def _files(self) -> Iterator[Item]:
        """Yield the specs beside this one."""
        for path in sorted(self.analysis.path.parent.glob("*.lmspec")):
            if path != self.analysis.path:
                yield Item(path.name, "file", path.name)

    def _statements(self) -> Iterator[Item]:
        if self.around.grid:
            for described in BLOCKS["grid"].fields(describe_field):
                yield grid_item(described, described.type.startswith("block"))
        if self.around.place is not None and not self.around.keys:
            yield from self._fields(self.around.place.cell, 6 if self.around.grid else 5)

    def _fields(self, cell: Cell, rank: int = 5) -> Iterator[Item]:
        """Yield the fields of a block as statements, or as the beginning of a path."""
        for name, attribute in fields(cell.cls).items():
            if attribute.metadata["hidden"]:
                continue
            described = describe_field(cell.cls, name)
            insert = statement(cell, name, described.name)
            if self.around.axes or self.cursor.chain:
                insert = f"{described.name} = " if not slot(cell.cls, name) else described.name
            yield Item(
                described.name, "field", insert, described.facts(), field_doc(described), rank - described.required
            )
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
            at = self.lookup.places.member(at, name)[1] if isinstance(at, Place) else None
        if isinstance(at, Place):
            yield from self._fields(at.cell)

    def _bases(self) -> Iterator[Item]:
        """Yield what may stand behind a colon: variants, and blocks of the kind."""
        header = [str(token) for token in self.cursor.statement if token.type == "NAME"]
        place = self.around.place
        if self.around.top:
            kind = header[0] if header else ""
            yield from variant_items(REGISTRY.get(kind, {}), " { }")
            yield from self._blocks(tuple(KINDS - {"overlay"}) if kind == "overlay" else (kind,))
        elif place is not None and header:
            name = repeated_field(place.cell, header[0]) or header[0]
            known = fields(place.cell.cls).get(name)
            if known is not None and known.metadata["ref"]:
                kinds = referred(known.metadata["ref"])
                yield from variant_items(REGISTRY.get(kinds[0], {}), " { }")
                yield from self._blocks(kinds)
            elif known is not None:
                yield from variant_items(slot(place.cell.cls, name), " { }")

    def _value(self, path: tuple[str, ...]) -> Iterator[Item]:
        view, place = self.around.view, self.around.place
        if self.around.grid and path and path[0] in STATEMENTS:
            if path in (("base",), ("with",)):
                yield from self._blocks(("train",) if path == ("base",) else ("overlay",))
                return
            yield from self._expression(view)
            return
        owner, name = (None, None) if place is None else follow(self.lookup, place, path)
        known = None if owner is None or name is None else fields(owner.cell.cls).get(name)
        if path == ("with",):
            yield from self._blocks(("overlay",))
        elif owner is None or name is None or known is None:
            yield from self._expression(view)
        elif is_late(owner.cell.cls, name):
            yield from self._results(self.lookup.over_results(view))
        else:
            if not self.cursor.chain:
                yield from self._typed(owner.cell, name)
            yield from self._expression(view)

    def _typed(self, cell: Cell, name: str) -> Iterator[Item]:
        """Yield the values that the type of a field names."""
        known = fields(cell.cls)[name]
        plain = [m for member in members(hints(cell.cls)[name]) for m in held_types(member)]
        for word in (word for m in plain if typing.get_origin(m) is Literal for word in typing.get_args(m)):
            yield Item(word, "value", word if self.cursor.quoted else f'"{word}"', spelled(name), rank=1)
        if self.cursor.quoted:
            if kind_of(cell.cls) == "keep" and name == "best":
                yield from self._metrics()
            return
        if known.metadata["ref"]:
            kinds = referred(known.metadata["ref"])
            yield from self._blocks(kinds)
        yield from variant_items(slot(cell.cls, name), " { }")
        for word, wanted in (("true", bool in plain), ("false", bool in plain), ("none", optional(cell.cls, name))):
            if wanted:
                yield Item(word, "keyword", word, rank=2)
        for function, kind in (("file", FilePath), ("files", Glob), ("env", Env)):
            if kind in plain:
                yield function_item(function, 1)
        yield Item("unset", "keyword", "unset", "back to the default", rank=8)

    def _metrics(self) -> Iterator[Item]:
        """Yield the metrics of the file's evaluations, as texts name them."""
        builder = self.analysis.builder
        for decl in self.around.view.module.decls:
            place = self.lookup.places.of(decl) if decl.kind == "eval" else None
            for metric in metrics_of(builder, place.cell.cls) if builder is not None and place is not None else ():
                yield Item(f"{decl.name}.{metric}", "column", f"{decl.name}.{metric}", "metric", rank=1)

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
            for name, described in readable(place.cell):
                yield Item(name, "field", name, described, rank=min(4 + depth, 6))
        yield from name_items(view.module)
        for function in FUNCTIONS:
            yield function_item(function, 7)
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
                place = self.lookup.places.of(head)
                for metric in metrics_of(self.analysis.builder, place.cell.cls) if place is not None else ():
                    yield Item(metric, "column", metric, "metric", rank=1)
                return
        else:
            for column in sorted(RECORD_COLUMNS):
                yield Item(column, "column", column, "of the records", rank=2)
            for function in LATE_FUNCTIONS:
                yield function_item(function, 3)
            for name, found in view.module.names.items():
                if isinstance(found, Decl) and found.kind == "eval":
                    yield Item(name, "block", name, "eval", rank=1)
        yield from self._expression(view)

    def _members(self, view: View, chain: tuple[str, ...]) -> Iterator[Item]:
        at = self.lookup.walk(chain, view)
        if isinstance(at, Module):
            yield from name_items(at)
        elif isinstance(at, Place):
            for name, described in readable(at.cell):
                yield Item(name, "field", name, described)
            yield Item("kind", "property", "kind", "the variant", rank=6)

    def _blocks(self, kinds: tuple[str, ...]) -> Iterator[Item]:
        """Yield the blocks of some kinds, those of imports too; for tables their parts."""
        chain = self.cursor.chain
        view = View(self.around.view.module)
        modules: list[tuple[str, Any]] = [("", view.module)]
        if chain:
            modules = [("", self.lookup.walk(chain, view))]
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
        place = self.lookup.places.of(decl) if decl.kind not in ("grid", "overlay") else None
        for parts in place.cell.named.values() if place is not None else ():
            for part, cell in parts.items():
                if cell.kind in kinds:
                    yield Item(f"{name}.{part}", "part", f"{name}.{part}", cell.kind, rank=1)
