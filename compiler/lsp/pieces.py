"""Parsing while one types: what stands between two top-level blocks is parsed again only if it has changed.

A line that begins with a kind and a name begins a piece. A piece that is right by itself means the same beside others;
so does one with mistakes, unless they may concern what follows it: brackets and strings that are never closed.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from attrs import Factory, define, fields, frozen, has

from ...spec.diagnostic import Diagnostic, Diagnostics, Edit, Label
from ...spec.span import Source, Span
from ..syntax import tree
from ..syntax.lexer import MOST_TOKENS
from ..syntax.parse import KINDS, MOST_MISTAKES, parse, parse_with_tokens

BEGINS = re.compile(rf"^(?=(?:{'|'.join(sorted(KINDS))})[ \t]+[A-Za-z_][A-Za-z0-9_]*[ \t]*[:{{])", re.MULTILINE)
REACHING = ("LM0103", "LM0105", "LM0106")
"""Mistakes that may concern what follows them: brackets that are never closed, files that are not read."""
FIELDS = {
    cls: tuple(attribute.name for attribute in fields(cls))
    for cls in (*vars(tree).values(), Diagnostic, Edit, Label)
    if isinstance(cls, type) and has(cls) and cls is not Span
}
"""The fields of what has places in it, in the order of their constructors."""


@frozen(eq=False)
class _Piece:
    file: tree.File
    found: tuple[Diagnostic, ...]
    alone: bool


@define(eq=False)
class Pieces:
    """The versions of one text, one after the other."""

    _kept: dict[str, _Piece] = Factory(dict)

    def parse(self, source: Source, diagnostics: Diagnostics) -> tree.File:
        """Return the tree of a version, as `parse` does; mistakes are in the order of the pieces."""
        starts = [0, *(match.start() for match in BEGINS.finditer(source.text) if match.start()), len(source.text)]
        if len(source.text) > MOST_TOKENS:
            return parse(source, diagnostics)
        before, self._kept = self._kept, {}
        items: list[tree.Item] = []
        comments: list[tree.Comment] = []
        found: list[Diagnostic] = []
        for start, end in pairwise(starts):
            text = source.text[start:end]
            piece = self._kept[text] = before.get(text) or _parsed(Source(source.path, text))
            if not piece.alone:
                return parse(source, diagnostics)
            items += _moved(piece.file.items, source, start)
            comments += _moved(piece.file.comments, source, start)
            found += _moved(piece.found, source, start)
        if len(found) >= MOST_MISTAKES:
            return parse(source, diagnostics)
        for diagnostic in found:
            diagnostics.add(diagnostic)
        items.sort(key=lambda item: isinstance(item, tree.Bad))
        return tree.File(tuple(items), tuple(comments), Span(source, 0, len(source.text)))


def _parsed(source: Source) -> _Piece:
    own = Diagnostics()
    file, tokens = parse_with_tokens(source, own)
    open_string = '"""' in source.text or any(token.type == "BAD_STRING" for token in tokens)
    alone = not own.items or not (open_string or any(found.code in REACHING for found in own.items))
    return _Piece(file, tuple(own.items), alone)


def _moved(value: Any, source: Source, by: int) -> Any:
    """Return a tree with its places in another source, `by` characters further."""
    cls = type(value)
    if cls is Span:
        return Span(source, value.start + by, value.end + by)
    if cls is tuple:
        return tuple([_moved(part, source, by) for part in value])
    if cls is int:
        return value + by
    names = FIELDS.get(cls)
    return value if names is None else cls(*[_moved(getattr(value, name), source, by) for name in names])
