"""Pass: tokens and comments become nested brackets of entries, each with the comments that belong to it.

{ } and the file    entries are statements          [ ]    entries are elements
( ) and an index    one entry, commas and comments in it stay where they are
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import Factory, define, frozen
from lark import Token

from ..syntax.tree import Comment

CLOSING = ("RBRACE", "RSQB", "RPAR")
OPENING = ("LBRACE", "LSQB", "LPAR")
AXES = ("over", "zip")
VALUES = ("NAME", "NUMBER", "STRING", "RSTRING", "FSTRING", "RESTRING", "LONG", "TRUE", "FALSE", "NONE", "UNSET")
"""Tokens behind which a sign is an operator of two operands."""


@frozen
class Remark:
    """A comment: its line, and whether a blank line stands before it."""

    text: str
    line: int
    blank: bool


@define
class Entry:
    """A statement or an element.

    Attributes:
        above: comments on lines of their own before it. beside: the comment behind it.
        blank: whether a blank line stands before it, behind the comments above. first, last: its lines.
    """

    parts: list[Part]
    above: list[Remark]
    blank: bool
    first: int
    last: int
    beside: Remark | None = None


@define
class Group:
    """A bracket, or the whole file, which has no `opening`.

    Attributes:
        flows: whether it is ( ) or an index. beside: the comment behind the opening bracket.
        below: comments before the closing bracket. first, last: its lines.
    """

    opening: Token | None
    flows: bool
    first: int
    last: int = 0
    entries: list[Entry] = Factory(list)
    beside: Remark | None = None
    below: list[Remark] = Factory(list)

    @property
    def braces(self) -> bool:
        """Whether it holds statements."""
        return self.opening is None or self.opening.type == "LBRACE"

    @property
    def is_index(self) -> bool:
        """Whether it is the index of a reference."""
        return self.flows and str(self.opening) == "["

    @property
    def commented(self) -> bool:
        """Whether a comment stands at its own level."""
        return bool(self.beside or self.below or any(e.above or e.beside for e in self.entries))


Part = Token | Remark | Group


def read_layout(tokens: Sequence[Token], comments: Sequence[Comment]) -> Group:
    """Return the layout of a file without mistakes."""
    return _Reader(tokens, comments).run()


@define
class _Open:
    """A bracket that is being read: its entry so far, and the comments that no entry has yet."""

    group: Group
    axes: bool = False
    parts: list[Part] = Factory(list)
    waiting: list[Remark] = Factory(list)
    blank: bool = False


class _Reader:
    def __init__(self, tokens: Sequence[Token], comments: Sequence[Comment]) -> None:
        pieces = [(token.start_pos or 0, token) for token in tokens] + [(c.span.start, c) for c in comments]
        self.pieces = sorted(pieces, key=lambda piece: piece[0])
        self.open = [_Open(Group(None, flows=False, first=1))]
        self.line = 0
        """The last line of what was read."""

    def run(self) -> Group:
        for _, piece in self.pieces:
            if isinstance(piece, Comment):
                self._comment(piece)
            elif piece.type in ("_SEP", "COMMA") and not self.open[-1].group.flows:
                self._end_entry()
                self.line = self.line if piece.type == "_SEP" else piece.line or 0
            elif piece.type in CLOSING:
                self._close(piece)
            else:
                self._token(piece)
        whole = self.open[0]
        self._end_entry()
        whole.group.below = whole.waiting
        return whole.group

    def _token(self, token: Token) -> None:
        here = self.open[-1]
        line = token.line or 0
        if not here.parts:
            here.blank = line > self.line + 1
        before = next((part for part in reversed(here.parts) if not isinstance(part, Remark)), None)
        if token.type in OPENING:
            index = token.type == "LSQB" and (_is(before, "NAME") or _is_index(before))
            group = Group(token, flows=index or token.type == "LPAR", first=line)
            self.open.append(_Open(group, axes=bool(here.parts) and str(here.parts[0]) in AXES))
        elif token.type == "SUMOP" and not (isinstance(before, Group) or _is(before, *VALUES)):
            here.parts.append(Token.new_borrow_pos("SIGN", str(token), token))
        else:
            here.parts.append(token)
        self.line = token.end_line or line

    def _close(self, token: Token) -> None:
        self._end_entry()
        here = self.open.pop()
        here.group.below = here.waiting
        here.group.last = self.line = token.line or 0
        if here.group.opening is None or not self.open:
            raise ValueError("a text with mistakes has no layout")
        self.open[-1].parts.append(here.group)

    def _comment(self, comment: Comment) -> None:
        here = self.open[-1]
        line = comment.span.line
        remark = Remark(comment.text, line, line > self.line + 1)
        group = here.group
        if here.parts or group.flows:
            here.parts.append(remark)
        elif line > self.line or here.waiting:
            here.waiting.append(remark)
        elif group.entries and group.entries[-1].beside is None:
            group.entries[-1].beside = remark
        elif group.opening is not None and not group.entries:
            group.beside = remark
        else:
            here.waiting.append(remark)
        self.line = line

    def _end_entry(self) -> None:
        """Make an entry of the parts; comments behind the last of them do not part it from its comma."""
        here = self.open[-1]
        parts = here.parts
        behind: list[Remark] = []
        while not here.group.flows and parts and isinstance(parts[-1], Remark):
            behind.insert(0, parts.pop())  # type: ignore[arg-type]
        if parts:
            first, last = _lines(parts[0])[0], _lines(parts[-1])[1]
            if here.group.braces and here.group.opening is not None and not here.axes:
                _write_as_block(parts)
            entry = Entry(parts, here.waiting, here.blank, first, last)
            if behind and behind[0].line == last:
                entry.beside = behind.pop(0)
            here.group.entries.append(entry)
            here.parts, here.waiting = [], behind


def _write_as_block(parts: list[Part]) -> None:
    """Turn `field = base { ... }` into `field : base { ... }`, its block form."""
    equals = parts[1] if len(parts) > 3 else None
    if not (_is(parts[0], "NAME") and isinstance(equals, Token) and equals.type == "EQ" and _is_body(parts[-1])):
        return
    if all(_is(part, "NAME", "DOT") or _is_index(part) for part in parts[2:-1]):
        parts[1] = Token.new_borrow_pos("COLON", ":", equals)


def _is(part: Part | None, *types: str) -> bool:
    return isinstance(part, Token) and part.type in types


def _is_index(part: Part | None) -> bool:
    return isinstance(part, Group) and part.is_index


def _is_body(part: Part) -> bool:
    return isinstance(part, Group) and part.braces


def _lines(part: Part) -> tuple[int, int]:
    """Return the first and the last line of a part."""
    if isinstance(part, Group):
        return part.first, part.last
    if isinstance(part, Remark):
        return part.line, part.line
    return part.line or 0, part.end_line or part.line or 0
