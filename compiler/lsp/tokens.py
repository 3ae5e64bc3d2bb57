"""Semantic tokens: what the highlighter of an editor cannot know from the spelling alone."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ...spec.span import Source, Span
from ..syntax.lexer import grammar
from ..syntax.parse import KEYWORDS
from .names import Occurrence
from .positions import position_at, units
from .workspace import Analysis

TYPES = (
    "namespace",
    "type",
    "class",
    "enumMember",
    "parameter",
    "variable",
    "property",
    "function",
    "keyword",
    "comment",
    "string",
    "number",
    "regexp",
    "operator",
)
MODIFIERS = ("declaration", "readonly", "defaultLibrary")
OF_ROLE = {
    "kind": "type",
    "block": "class",
    "variant": "type",
    "part": "class",
    "let": "variable",
    "import": "namespace",
    "variable": "parameter",
    "field": "property",
    "property": "property",
    "column": "property",
    "key": "property",
    "function": "function",
    "keyword": "keyword",
}
OF_TERMINAL = {
    "NUMBER": "number",
    "STRING": "string",
    "RSTRING": "string",
    "FSTRING": "string",
    "RESTRING": "regexp",
    "CMP": "operator",
    "SUMOP": "operator",
    "MULOP": "operator",
    "POW": "operator",
    "EQ": "operator",
    "PLUSEQ": "operator",
    **dict.fromkeys(KEYWORDS, "keyword"),
}


@frozen
class Token:
    """A piece of one line: characters [start, end), its type and modifiers by name."""

    start: int
    end: int
    type: str
    modifiers: tuple[str, ...] = ()


def semantic_tokens(analysis: Analysis) -> list[Token]:
    """Return the tokens of a file in order; none overlaps another, none goes over a line end."""
    names = () if analysis.names is None else analysis.names.of(str(analysis.path))
    own = [_of_name(occurrence) for occurrence in names if occurrence.symbol.role in OF_ROLE]
    return sorted([*own, *_around(own, _plain(analysis))], key=_start)


def encoded(tokens: list[Token], source: Source) -> list[int]:
    """Return tokens as the protocol has them: line and column as steps, length, type, modifiers; in UTF-16."""
    data: list[int] = []
    line = column = 0
    for token in tokens:
        at = position_at(source, token.start)
        step = at.character if at.line > line else at.character - column
        bits = sum(1 << MODIFIERS.index(name) for name in token.modifiers)
        length = units(source.text[token.start : token.end])
        data += [at.line - line, step, length, TYPES.index(token.type), bits]
        line, column = at.line, at.character
    return data


def _start(token: Token) -> int:
    return token.start


def _of_name(found: Occurrence) -> Token:
    modifiers = ("declaration",) if found.defines else ()
    if found.symbol.role == "let":
        modifiers = (*modifiers, "readonly")
    if found.symbol.role in ("variant", "function"):
        modifiers = (*modifiers, "defaultLibrary")
    return Token(found.span.start, found.span.end, OF_ROLE[found.symbol.role], modifiers)


def _plain(analysis: Analysis) -> Iterator[Token]:
    """Yield literals, operators, keywords and comments, cut at line ends."""
    if analysis.module is None:
        return
    for token in grammar().lex(analysis.source.text):
        start, end = token.start_pos or 0, token.end_pos or 0
        type_ = OF_TERMINAL.get(token.type)
        if token.type == "LONG":
            type_ = "regexp" if token.startswith("re") else "string"
        if type_ is not None:
            yield from _lines(Span(analysis.source, start, end), type_)
    for comment in analysis.module.file.comments:
        yield Token(comment.span.start, comment.span.end, "comment")


def _lines(span: Span, type_: str) -> Iterator[Token]:
    start = span.start
    for line in span.text.split("\n"):
        if line:
            yield Token(start, start + len(line), type_)
        start += len(line) + 1


def _around(names: list[Token], plain: Iterator[Token]) -> Iterator[Token]:
    """Yield plain tokens without the names inside them, as those of an f-string are."""
    starts = names[:]
    for token in sorted(plain, key=_start):
        at = token.start
        while starts and starts[0].end <= token.start:
            starts.pop(0)
        for name in starts:
            if name.start >= token.end:
                break
            if at < name.start:
                yield Token(at, name.start, token.type)
            at = max(at, name.end)
        if at < token.end:
            yield Token(at, token.end, token.type)
