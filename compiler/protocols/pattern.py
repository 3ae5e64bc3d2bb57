"""Pass: the text of a protocol literal becomes a pattern tree.

In:  a string of the syntax tree, plain (its characters) or a regex (`grammars/pattern.lark`).
Out: a tree of Chars | Concat | Alternate | Repeat | Capture, or None once every mistake has been recorded with a
     span inside the literal.
Not here: automata.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from attrs import frozen
from lark import Lark, Token, Tree, UnexpectedInput

from ...spec.diagnostic import Diagnostics, Edit
from ...spec.span import Span
from ..syntax.tables import load_parser
from ..syntax.tree import String
from .unicode import Range, both_cases, category, complement, merge

REFUSED = {
    "LAZY": ("LM0604", "lazy quantifier", "say what may not occur instead, for example [^\\n`]*"),
    "LOOK": ("LM0603", "look-around", "an automaton decides byte by byte; describe the text itself"),
    "BACKREF": ("LM0602", "back-reference", "an automaton has no memory of what it read; write the alternatives"),
    "ANCHOR": ("LM0605", "anchor", "a pattern already covers the whole text between its neighbours; drop it"),
}
MOST_DIGITS, MOST_GROUPS = 6, 100
SURROGATES = range(0xD800, 0xE000)
MEMBER = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[pP](\{[A-Za-z]*\}|[A-Za-z])|[^xupP])", re.DOTALL)
"""An escape in a class."""
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
DIGIT: tuple[Range, ...] = ((48, 57),)
WORD: tuple[Range, ...] = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: tuple[Range, ...] = ((9, 13), (32, 32))
CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE}


@frozen
class Chars:
    """One character out of sorted, disjoint ranges of code points."""

    ranges: tuple[Range, ...]


@frozen
class Concat:
    """One after the other."""

    items: tuple[Pattern, ...]


@frozen
class Alternate:
    """Any of them."""

    items: tuple[Pattern, ...]


@frozen
class Repeat:
    """`low` to `high` times; high None is unbounded."""

    item: Pattern
    low: int
    high: int | None


@frozen
class Capture:
    """A named group."""

    name: str
    item: Pattern


Pattern = Chars | Concat | Alternate | Repeat | Capture


def parse_pattern(literal: String, diagnostics: Diagnostics) -> Pattern | None:
    """Return the pattern of a literal, or None after recording what is wrong with it."""
    if literal.prefix != "re":
        return Concat(tuple(Chars(((ord(c), ord(c)),)) for c in literal.value))
    if literal.value.count("(") > MOST_GROUPS:
        diagnostics.error("LM0601", literal.span, f"a pattern has at most {MOST_GROUPS} groups")
        return None
    try:
        parsed = _parser().parse(literal.value)
    except UnexpectedInput as error:
        ended = getattr(getattr(error, "token", None), "type", "") == "$END"
        at = len(literal.value) if ended or error.pos_in_stream is None else error.pos_in_stream
        if at < len(literal.value):
            what, help = f"`{literal.value[at]}` cannot stand here in a pattern", "escape it with \\"
        else:
            what, help = "the pattern ends too early", "something that was opened is not closed"
        diagnostics.error("LM0601", inside(literal, at, at + 1), what, help=help)
        return None
    refused = list(parsed.scan_values(lambda value: isinstance(value, Token) and value.type in REFUSED))
    for token in refused:
        code, what, help = REFUSED[token.type]
        span = inside(literal, token.start_pos or 0, token.end_pos or 0)
        edits = (Edit(span, ""),) if token.type == "ANCHOR" else ()
        diagnostics.error(code, span, f"{what} in a protocol pattern", help=help, edits=edits)
    if refused:
        return None
    try:
        _check_names(parsed)
        return _build(parsed)
    except _Wrong as wrong:
        diagnostics.error("LM0601", inside(literal, *wrong.at), str(wrong))
        return None


def inside(literal: String, start: int, end: int) -> Span:
    """Return the span of characters [start, end) of a literal's value."""
    if not literal.offsets:
        return literal.span
    first = literal.offsets[min(start, len(literal.offsets) - 1)]
    last = literal.offsets[end] if end < len(literal.offsets) else literal.offsets[-1] + 1
    return Span(literal.span.source, first, max(last, first + 1))


class _Wrong(Exception):
    def __init__(self, token: Token, message: str) -> None:
        super().__init__(message)
        self.at = (token.start_pos or 0, token.end_pos or 0)


def _check_names(parsed: Tree[Token]) -> None:
    names: set[str] = set()
    for opening in parsed.scan_values(lambda value: isinstance(value, Token) and value.type == "CAPTURE"):
        name = _captured(opening)
        if name in names:
            raise _Wrong(opening, f"two groups are called `{name}`")
        names.add(name)


def _captured(opening: Token) -> str:
    return opening[opening.index("<") + 1 : -1]


@cache
def _parser() -> Lark:
    return load_parser("pattern", maybe_placeholders=False)


def _build(node: Tree[Token], any_case: bool = False) -> Pattern:
    kind, children = node.data, node.children
    if kind in ("start", "group", "any_case"):
        return _build(_tree(children[0]), any_case or kind == "any_case")
    if kind == "alternation":
        items = tuple(_build(_tree(child), any_case) for child in children)
        return items[0] if len(items) == 1 else Alternate(items)
    if kind == "sequence":
        return Concat(tuple(_build(_tree(child), any_case) for child in children))
    if kind == "repeated":
        return _repeat(_build(_tree(children[0]), any_case), _token(_tree(children[1]).children[0]))
    if kind == "capture":
        opening = _token(children[0])
        return Capture(_captured(opening), _build(_tree(children[1]), any_case))
    if kind == "dot":
        return Chars(complement(((10, 10),)))
    token = _token(children[0])
    if kind == "char_class":
        return Chars(_char_class(token, any_case))
    ranges: tuple[Range, ...] = ((ord(token), ord(token)),) if kind == "literal" else _escape(token, token)
    return Chars(both_cases(ranges) if any_case else ranges)


def _tree(node: Any) -> Tree[Token]:
    assert isinstance(node, Tree)
    return node


def _token(node: Any) -> Token:
    assert isinstance(node, Token)
    return node


def _repeat(item: Pattern, quantifier: Token) -> Repeat:
    if quantifier in ("*", "+", "?"):
        return Repeat(item, int(quantifier == "+"), 1 if quantifier == "?" else None)
    low, _, high = quantifier[1:-1].partition(",")
    if max(len(low), len(high)) > MOST_DIGITS:
        raise _Wrong(quantifier, f"`{quantifier[:12]}...` repeats too often")
    bounds = int(low), (int(high) if high else None) if "," in quantifier else int(low)
    if bounds[1] is not None and bounds[1] < bounds[0]:
        raise _Wrong(quantifier, f"`{quantifier}` repeats at most fewer times than at least")
    return Repeat(item, *bounds)


def _escape(text: str, token: Token) -> tuple[Range, ...]:
    letter = text[1]
    if letter in "pP" and len(text) > 2:
        found = category(text[2:].strip("{}"))
        if not found:
            raise _Wrong(token, f"`{text}` names no general category that patterns know, such as L, Lu or Nd")
        return found if letter == "p" else complement(found)
    if letter in "xu" and len(text) > 2:
        code = int(text[2:], 16)
        if code in SURROGATES:
            raise _Wrong(token, f"`{text}` is half of a character")
        return ((code, code),)
    if letter in CLASSES:
        return CLASSES[letter]
    if letter.lower() in CLASSES and letter.isupper():
        return complement(CLASSES[letter.lower()])
    if letter.isalnum() and letter not in ESCAPES:
        raise _Wrong(token, f"`{text}` has no meaning in a pattern")
    code = ord(ESCAPES.get(letter, letter))
    return ((code, code),)


def _char_class(token: Token, any_case: bool) -> tuple[Range, ...]:
    body = token[1:-1]
    negated = body.startswith("^")
    body = body[negated:]
    ranges: list[Range] = []
    at = 0
    while at < len(body):
        low, at = _member(body, at, token)
        if at < len(body) - 1 and body[at] == "-":
            high, at = _member(body, at + 1, token)
            if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or low[0][0] > high[0][0]:
                raise _Wrong(token, "a range in a class needs two characters in order")
            ranges.append((low[0][0], high[0][0]))
        else:
            ranges += low
    merged = both_cases(merge(ranges)) if any_case else merge(ranges)
    if not body:
        raise _Wrong(token, "the class is empty; write `\\]` for the bracket")
    found = complement(merged) if negated else merged
    if not found:
        raise _Wrong(token, "no character is in this class")
    return found


def _member(body: str, at: int, token: Token) -> tuple[tuple[Range, ...], int]:
    if body[at] != "\\":
        return ((ord(body[at]), ord(body[at])),), at + 1
    escape = MEMBER.match(body, at)
    if escape is None:
        raise _Wrong(token, f"`{body[at : at + 2]}` has no meaning in a class")
    return _escape(escape.group(), token), escape.end()
