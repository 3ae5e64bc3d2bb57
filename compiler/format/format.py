"""Pass: source to formatted text, with the proof that only its layout changed."""

from __future__ import annotations

from typing import Any

import attrs

from ...spec.diagnostic import Diagnostics
from ...spec.span import Source, Span
from ..syntax import tree
from ..syntax.parse import parse_with_tokens
from .layout import read_layout
from .write import write_layout

PLACES = ("span", "op_span", "offsets")


class FormatError(Exception):
    """Formatting would change more than the layout: a bug of ours. The text is better left as it is."""


def format_source(source: Source, diagnostics: Diagnostics) -> str | None:
    """Return the formatted text of a source, or None after recording its syntax errors.

    Line ends are LF. Raises FormatError where the text means something else, lost a comment or is not stable.
    """
    file, text = _formatted(source, diagnostics)
    if text is None or text == source.text:
        return text
    found = Diagnostics()
    again, same = _formatted(Source(source.path, text), found)
    if found.items:
        raise FormatError(f"it would not parse any more: {found.items[0].message}")
    if not same_tree(file.items, again.items):
        raise FormatError("it would mean something else")
    if [comment.text for comment in file.comments] != [comment.text for comment in again.comments]:
        raise FormatError("comments would be lost or change places")
    if same != text:
        raise FormatError("a second time would change it again")
    return text


def _formatted(source: Source, diagnostics: Diagnostics) -> tuple[tree.File, str | None]:
    found = Diagnostics()
    file, tokens = parse_with_tokens(source, found)
    for diagnostic in found.items:
        diagnostics.add(diagnostic)
    return file, None if found.failed else write_layout(read_layout(tokens, file.comments))


def same_tree(one: Any, two: Any) -> bool:
    """Return whether two parts of trees are equal but for places; `x = base { }` is `x : base { }`."""
    if isinstance(one, tuple):
        return isinstance(two, tuple) and len(one) == len(two) and all(map(same_tree, one, two))
    one, two = _block_form(one), _block_form(two)
    if type(one) is not type(two):
        return False
    if not attrs.has(type(one)) or isinstance(one, Span):
        return bool(one == two)
    return all(same_tree(getattr(one, name), getattr(two, name)) for name in _names(type(one)))


def _block_form(node: Any) -> Any:
    return (node.as_block or node) if isinstance(node, tree.Assign) else node


_FIELDS: dict[type, tuple[str, ...]] = {}


def _names(cls: Any) -> tuple[str, ...]:
    if cls not in _FIELDS:
        _FIELDS[cls] = tuple(f.name for f in attrs.fields(cls) if f.name not in PLACES)
    return _FIELDS[cls]
