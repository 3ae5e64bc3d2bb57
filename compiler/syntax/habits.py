"""What is written as in other languages: read only where a statement does not parse.

edition: 1            ->  edition = 1              tokenizer b = byte {}   ->  tokenizer b : byte {}
// a comment          ->  # a comment              my-bytes                ->  my_bytes
width = 32, 64        ->  width = [32, 64]         optim: { ... }          ->  optim { ... }
"""

from __future__ import annotations

from attrs import frozen
from lark import Token

from ...spec.diagnostic import Edit
from ...spec.span import Source, Span

PLAIN = ("NUMBER", "STRING")
VALUES = (*PLAIN, "LSQB", "SUMOP", "TRUE", "FALSE", "NONE", "UNSET", "FSTRING", "RSTRING", "RESTRING", "LONG")
"""Tokens that only values begin with."""


@frozen
class Habit:
    """What is wrong with a token, and what to do.

    Attributes:
        token: what is marked. help: "" where another mistake told of it.
    """

    token: Token
    help: str
    edits: tuple[Edit, ...] = ()


def habit(source: Source, tokens: list[Token], at: int, first: int) -> Habit | None:
    """Return the habit by which token `at` of the statement that begins at `first` is there; None if it is none."""
    token, before = tokens[at], tokens[first:at]
    types = [each.type for each in before]
    if _in_comment(tokens, first):
        return Habit(token, "")
    if (slashes := _slashes(tokens, at, first)) is not None:
        return Habit(slashes, "comments begin with #", (_edit(source, slashes, slashes, "#"),))
    if types[-1:] == ["COLON"] and token.type == "LBRACE":
        return Habit(before[-1], "drop it", (_edit(source, before[-1], before[-1], ""),))
    if types == ["NAME", "COLON"] and token.type in VALUES:
        text = " =" if source.text[(before[-1].start_pos or 0) - 1].strip() else "="
        return Habit(before[-1], "a field is set with =", (_edit(source, before[-1], before[-1], text),))
    if types in (["NAME", "NAME"], ["NAME", "STRING"]) and token.type == "EQ":
        help = f"a block starts from another with : as in {before[0]} {before[1]} : ..."
        return Habit(token, help, (_edit(source, token, token, ":"),))
    if token == "-" and types[-1:] == ["NAME"] and (dashed := _dashed(tokens, at - 1)):
        plain = dashed.replace("-", "_")
        edits = tuple(
            _edit(source, tokens[n], tokens[n + dashed.count("-") * 2], plain)
            for n in range(len(tokens))
            if tokens[n].type == "NAME" and _dashed(tokens, n) == dashed
        )
        return Habit(token, f"names have no `-`: write {plain}", edits)
    return _loose(source, tokens, at, first) if at == first and token.type in PLAIN else None


def _edit(source: Source, start: Token, end: Token, text: str) -> Edit:
    return Edit(Span(source, start.start_pos or 0, end.end_pos or 0), text)


def _slashes(tokens: list[Token], at: int, first: int) -> Token | None:
    """Return the `//` that a comment begins with, before which a statement is whole or has not begun."""
    if at == first:
        return tokens[at] if tokens[at] == "//" else None
    found = next((n for n in range(first, at) if tokens[n] == "//"), None)
    worded = found is not None and all(token.type == "NAME" for token in tokens[found + 1 : at + 1])
    return tokens[found] if found is not None and worded else None


def _in_comment(tokens: list[Token], first: int) -> bool:
    """Whether a comma of a comment begins a statement: its line has `//` before it where a statement begins."""
    begun = first
    while begun and tokens[begun - 1] == ",":
        begun = max((n + 1 for n in range(begun - 1) if tokens[n].type in ("_SEP", "LBRACE")), default=0)
        if tokens[begun] == "//":
            return True
    return False


def _dashed(tokens: list[Token], at: int) -> str:
    """Return the words that hang together with `-` from a token on, "" for one alone."""
    end = at
    while (
        [token.type for token in tokens[end + 1 : end + 3]] == ["SUMOP", "NAME"]
        and tokens[end + 1] == "-"
        and tokens[end].end_pos == tokens[end + 1].start_pos
        and tokens[end + 1].end_pos == tokens[end + 2].start_pos
    ):
        end += 2
    return "".join(tokens[at : end + 1]) if end > at else ""


def _loose(source: Source, tokens: list[Token], at: int, first: int) -> Habit | None:
    """Return the habit of values that commas separate where a list is meant, told of the second one alone."""
    start = at
    while start >= 2 and tokens[start - 1] == "," and tokens[start - 2].type in PLAIN:
        start -= 2
    if start == at or start < 1 or tokens[start - 1].type != "EQ":
        return None
    if at - start > 2:
        return Habit(tokens[at], "")
    end = at
    while end + 2 < len(tokens) and tokens[end + 1] == "," and tokens[end + 2].type in PLAIN:
        end += 2
    closed = end + 1 < len(tokens) and tokens[end + 1].type == "RSQB"
    opening, closing = tokens[start].start_pos or 0, tokens[end].end_pos or 0
    text = source.text[opening:closing]
    edits = [Edit(Span(source, opening, opening), "[")]
    if not closed:
        edits.append(Edit(Span(source, closing, closing), "]"))
    return Habit(tokens[at], f"write a list: [{text}]", tuple(edits))
