"""Parsing while one types: what stands between two top-level blocks is parsed again only if it has changed.

A line that begins with a kind and a name begins a piece. A piece that is right by itself means the same beside others;
so does one with mistakes, unless strings in it are never closed. Brackets that are never closed end at the next piece.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from attrs import Factory, define, evolve, fields, frozen, has

from ...spec.diagnostic import Diagnostic, Diagnostics, Edit, Label
from ...spec.span import Source, Span
from ..syntax import tree
from ..syntax.lexer import MOST_TOKENS
from ..syntax.parse import KINDS, MOST_MISTAKES, parse, parse_with_tokens

BEGINS = re.compile(rf"^(?=(?:{'|'.join(sorted(KINDS))})[ \t]+[A-Za-z_][A-Za-z0-9_]*[ \t]*[:{{])", re.MULTILINE)
REACHING = ("LM0105", "LM0106")
"""Mistakes for which a file is not read to its end."""
UNCLOSED = "LM0103"
FIELDS = {
    cls: tuple(attribute.name for attribute in fields(cls))
    for cls in (*vars(tree).values(), Diagnostic, Edit, Label)
    if isinstance(cls, type) and has(cls) and cls is not Span
}
"""The fields of what has places in it, in the order of their constructors."""


@frozen(eq=False)
class _Piece:
    """A piece as it is by itself. `alone`: it means the same beside others; `unclosed`: but for brackets left open."""

    file: tree.File
    found: tuple[Diagnostic, ...]
    alone: bool
    unclosed: bool


EMPTY = _Piece(tree.File((), (), Span(Source("", ""), 0, 0)), (), alone=True, unclosed=False)


@define(eq=False)
class Pieces:
    """The versions of one text, one after the other."""

    _kept: dict[str, _Piece] = Factory(dict)

    def parse(self, source: Source, diagnostics: Diagnostics) -> tree.File:
        """Return the tree of a version, as `parse` does; mistakes are in the order of the pieces."""
        starts = [0, *(match.start() for match in BEGINS.finditer(source.text) if match.start()), len(source.text)]
        before, self._kept = self._kept, {}
        pieces: list[tuple[_Piece, int]] = []
        for start, end in pairwise(starts) if len(source.text) <= MOST_TOKENS else ():
            text = source.text[start:end]
            piece = self._kept[text] = before.get(text) or _parsed(Source(source.path, text))
            if pieces and pieces[-1][0].unclosed:
                pieces[-1] = _closed(source, starts, len(pieces) - 1, piece)
                pieces.append((EMPTY, start))
            else:
                pieces.append((piece, start))
        if pieces and pieces[-1][0].unclosed:
            pieces[-1] = _closed(source, starts, len(pieces) - 1, EMPTY)
        mistakes = sum(len(piece.found) for piece, _ in pieces)
        if not pieces or not all(piece.alone for piece, _ in pieces) or mistakes >= MOST_MISTAKES:
            return parse(source, diagnostics)
        return _put_together(source, pieces, diagnostics)


def _parsed(source: Source) -> _Piece:
    own = Diagnostics()
    file, tokens = parse_with_tokens(source, own)
    codes = {found.code for found in own.items}
    open_string = '"""' in source.text or any(token.type == "BAD_STRING" for token in tokens)
    apart = not codes or not (open_string or codes.intersection(REACHING))
    return _Piece(file, tuple(own.items), apart and UNCLOSED not in codes, apart and UNCLOSED in codes)


def _closed(source: Source, starts: list[int], number: int, following: _Piece) -> tuple[_Piece, int]:
    """Return a piece with open brackets, read with the one that follows and closes them, at its own lines."""
    start, end = starts[number], starts[min(number + 2, len(starts) - 1)]
    above = source.text.count("\n", 0, start)
    below = source.text.count("\n", end)
    piece = _parsed(Source(source.path, "\n" * above + source.text[start:end] + "\n" * below))
    return evolve(
        piece, alone=piece.unclosed and following.alone and not following.found, unclosed=False
    ), start - above


def _put_together(source: Source, pieces: list[tuple[_Piece, int]], diagnostics: Diagnostics) -> tree.File:
    items: list[tree.Item] = []
    comments: list[tree.Comment] = []
    for piece, by in pieces:
        items += _moved(piece.file.items, source, by)
        comments += _moved(piece.file.comments, source, by)
        for diagnostic in _moved(piece.found, source, by):
            diagnostics.add(diagnostic)
    items.sort(key=lambda item: isinstance(item, tree.Bad))
    return tree.File(tuple(items), tuple(comments), Span(source, 0, len(source.text)))


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
