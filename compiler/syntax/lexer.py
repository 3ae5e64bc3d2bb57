"""Tokens of a file, with statements separated.

    newline or comma in braces, or at top level -> _SEP      newline in ( ) or [ ] -> dropped

Recovery that needs only brackets happens here: a `}` closes what is open above its `{`; in ( ) and [ ] a line that
begins like a statement closes them; a kind in column 1, or the end of the file, closes all blocks (LM0103).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from attrs import Factory, define
from lark import Lark, Token

from ...spec.diagnostic import Diagnostics
from ...spec.span import Source, Span
from .tables import load_parser
from .tree import Comment

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}
MOST_TOKENS = 100_000
COMMENT = re.compile(r"#[^\n]*")


class _Terminals:
    """Tells Lark which terminals to keep although no rule names them."""

    always_accept = ("_NL", "COMMA", "BAD", "BAD_STRING")

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


@cache
def grammar() -> Lark:
    """Return the parser of the language."""
    starts = ["start", "expr", "assign"]
    return load_parser("lmspec", lexer="basic", start=starts, postlex=_Terminals(), keep_all_tokens=True)


def lex(
    source: Source, kinds: Collection[str], diagnostics: Diagnostics, start: int = 0, end: int | None = None
) -> list[Token] | None:
    """Return the tokens of a source, or of its characters [start, end), None after recording that they are too many.

    What is never closed is reported and closed.
    """
    raw = _tokens(source.text[start:end], start)
    if raw is None:
        diagnostics.error("LM0105", Span(source, 0, 0), f"the file has more than {MOST_TOKENS:,} words and signs")
        return None
    return list(_Separator(source, raw, kinds, diagnostics).run())


def _tokens(text: str, start: int) -> list[Token] | None:
    """Return the tokens of a text that begins at offset `start` of its source, or None if there are too many."""
    # Lark.lex would build a lexer at each call.
    reading: Any = grammar().parse_interactive(text, start="start")
    raw = list(islice(reading.lexer_thread.lex(reading.parser_state), MOST_TOKENS + 1))
    if len(raw) > MOST_TOKENS:
        return None
    if start:
        for token in raw:
            token.start_pos, token.end_pos = (token.start_pos or 0) + start, (token.end_pos or 0) + start
    return raw


def comments(source: Source, tokens: Iterable[Token]) -> list[Comment]:
    """Return the comments: what begins with `#` between two tokens of a file."""
    found: list[Comment] = []
    at = 0
    gaps = []
    for token in tokens:
        if token.type != "_SEP":
            gaps.append((at, token.start_pos or 0))
            at = max(at, token.end_pos or 0)
    for start, end in [*gaps, (at, len(source.text))]:
        for match in COMMENT.finditer(source.text, start, end):
            text = match.group().rstrip()
            found.append(Comment(text, Span(source, match.start(), match.start() + len(text))))
    return found


@define
class _Separator:
    source: Source
    raw: list[Token]
    kinds: Collection[str]
    diagnostics: Diagnostics
    open: list[tuple[Token, int]] = Factory(list)
    separated: bool = True
    suspect: tuple[Token, int, Token] | None = None
    """The first brace that one further left closes: most likely the one that was forgotten, and what closed it."""

    def run(self) -> Iterator[Token]:
        for at, token in enumerate(self.raw):
            if token.type == "_NL" or (token.type == "COMMA" and self._in_braces()):
                yield from self._separate(at, token)
                continue
            if self._kind_in_column_1(at, token):
                yield from self._close_blocks(token)
            if token.type in CLOSING:
                yield from self._close(token)
                continue
            if token.type in OPENING:
                self.open.append((token, at))
            self.separated = token.type == "LBRACE"
            yield token
        if self.open:
            yield from self._close_blocks(None)

    def _in_braces(self) -> bool:
        return not self.open or self.open[-1][0].type == "LBRACE"

    def _separate(self, at: int, token: Token) -> Iterator[Token]:
        if not self._in_braces() and token.type == "_NL" and self._statement_follows(at + 1):
            while self.open and not self._in_braces():
                opening, _ = self.open.pop()
                yield self._made(OPENING[opening.type], token)
        if self._in_braces() and not self.separated:
            self.separated = True
            yield Token("_SEP", str(token), token.start_pos, token.line, token.column, end_pos=token.end_pos)

    def _statement_follows(self, at: int) -> bool:
        ahead = [token.type for token in self.raw[at : at + 12]]
        if not ahead or ahead[0] != "NAME":
            return False
        end = 1
        while ahead[end : end + 2] == ["DOT", "NAME"]:
            end += 2
        return ahead[end : end + 1] in (["EQ"], ["PLUSEQ"], ["NAME"])

    def _kind_in_column_1(self, at: int, token: Token) -> bool:
        if token.type != "NAME" or token.column != 1 or not self.open or token not in self.kinds:
            return False
        ahead = [t.type for t in self.raw[at + 1 : at + 3]]
        return ahead[:1] == ["NAME"] and ahead[1:] in (["COLON"], ["LBRACE"])

    def _close_blocks(self, kind: Token | None) -> Iterator[Token]:
        """Close everything and say which block was not closed."""
        if any(token.type == "BAD_STRING" for token in self.raw):
            yield from self._close_all(kind)
            return
        blocks = [(token, at) for token, at in self.open if token.type == "LBRACE"]
        opening, at = blocks[0] if blocks else self.open[0]
        before = kind
        if self.suspect is not None and blocks:
            opening, at, before = self.suspect
        span = Span(self.source, opening.start_pos or 0, opening.end_pos or 0)
        what = f"block `{self._title(at)}`" if opening.type == "LBRACE" else f"`{opening}`"
        help = f"add a `{CLOSING[OPENING[opening.type]]}`"
        if before is not None:
            help += f" before line {before.line}"
        self.diagnostics.error("LM0103", span, f"{what} is never closed", label="opened here", help=help)
        yield from self._close_all(kind)

    def _close_all(self, kind: Token | None) -> Iterator[Token]:
        place = kind if kind is not None else self.raw[-1]
        while self.open:
            opening, _ = self.open.pop()
            yield self._made(OPENING[opening.type], place)
        self.suspect = None
        if kind is not None:
            yield self._made("_SEP", place)
            self.separated = True

    def _close(self, token: Token) -> Iterator[Token]:
        before, self.separated = self.separated, False
        if token.type == "RBRACE":
            while self.open and self.open[-1][0].type != "LBRACE":
                opening, _ = self.open.pop()
                span = Span(self.source, opening.start_pos or 0, opening.end_pos or 0)
                self.diagnostics.error("LM0103", span, f"`{opening}` is never closed", label="opened here")
                yield self._made(OPENING[opening.type], token)
        if self.open and OPENING[self.open[-1][0].type] == token.type:
            opening, at = self.open.pop()
            if token.type == "RBRACE" and self.suspect is None and self._is_further_left(token, opening):
                self.suspect = opening, at, token
            if not self.open:
                self.suspect = None
        elif not self.open or token.type == "RBRACE":
            span = Span(self.source, token.start_pos or 0, token.end_pos or 0)
            self.diagnostics.error("LM0102", span, f"`{token}` closes nothing", help="remove it")
            self.separated = before
            return
        yield token

    def _is_further_left(self, closing: Token, opening: Token) -> bool:
        """Whether a brace begins its line, and further left than the line of the brace that it closes."""
        line = self.source.line(opening.line or 1)
        indent = len(line) - len(line.lstrip())
        own = self.source.line(closing.line or 1)
        return len(own) - len(own.lstrip()) == (closing.column or 1) - 1 < indent

    def _title(self, at: int) -> str:
        """Return the words before an opening brace on its line."""
        words: list[str] = []
        for index in range(at - 1, -1, -1):
            token = self.raw[index]
            if token.type not in ("NAME", "STRING", "COLON", "DOT"):
                break
            words.insert(0, str(token))
        return " ".join(words).split(" : ")[0]

    def _made(self, type_: str, place: Token) -> Token:
        text = CLOSING.get(type_, "")
        at = place.start_pos or 0
        return Token(type_, text, at, place.line, place.column, place.line, place.column, at)
