"""Pass: text becomes a syntax tree, or a list of everything that is wrong with it.

In:  a source. Out: a `tree.File`; what did not parse is `tree.Bad` and reported once.
Recovery: an error drops the statement that it is in and goes on after it, at the same depth of braces.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedToken

from ...spec.diagnostic import Diagnostics, Edit, Enough
from ...spec.span import Source, Span
from . import tree
from .build import DEEPEST, Builder
from .lexer import comments, grammar, lex

LARGEST = 512 * 1024
LONGEST_CHARACTER = 4
BRACKET = re.compile(r"[()\[\]{}]")
MOST_MISTAKES = 100
MOST_NAMED = 8
SEPARATE = "begin a new line, or put a comma between statements"
KINDS = frozenset(
    ["tokenizer", "model", "mesh", "store", "protocol", "data", "train", "probe", "eval", "plot", "grid", "overlay"]
)
KEYWORDS = {
    name.upper(): name
    for name in [
        "import",
        "as",
        "let",
        "assert",
        "and",
        "or",
        "not",
        "in",
        "if",
        "else",
        "for",
        "true",
        "false",
        "none",
        "unset",
    ]
}


def read_source(path: Path, shown: str, diagnostics: Diagnostics) -> Source | None:
    """Return the text of a file, or None after recording why it cannot be read."""
    data = read_bytes(path, shown, diagnostics)
    return None if data is None else decode_source(data, shown, diagnostics)


def read_bytes(path: Path, shown: str, diagnostics: Diagnostics) -> bytes | None:
    """Return the bytes of a file, or None after recording why it cannot be read; a pipe would be waited for."""
    span = Span(Source(shown, ""), 0, 0)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            diagnostics.error("LM0701", span, f"`{shown}` is not a file", help="name a file on disk")
        elif status.st_size > LARGEST * LONGEST_CHARACTER:
            _too_large(span, diagnostics)
        else:
            return path.read_bytes()
    except (OSError, ValueError) as error:
        message, help = _unreadable(path, shown, error)
        diagnostics.error("LM0701", span, message, help=help)
    return None


def _unreadable(path: Path, shown: str, error: OSError | ValueError) -> tuple[str, str]:
    """Return why a file cannot be read, and which one may be meant: specs beside it, or in the folder that it is."""
    if isinstance(error, FileNotFoundError):
        beside = {name.removesuffix(".lmspec"): name for name in _specs_in(path.parent)}
        near = difflib.get_close_matches(path.name.removesuffix(".lmspec"), beside, 1)
        help = (
            f"did you mean `{beside[near[0]]}`?"
            if near
            else f"name one of {', '.join(beside.values())}"
            if beside
            else ""
        )
        return f"there is no file `{shown}`", help
    if isinstance(error, IsADirectoryError):
        inside = _specs_in(path)
        return f"`{shown}` is a folder", f"name a spec in it: {', '.join(inside)}" if inside else "it holds no spec"
    return f"`{shown}` cannot be read: {error.strerror if isinstance(error, OSError) else error}", ""


def _specs_in(folder: Path) -> list[str]:
    """Return the names of the first specs of a folder."""
    with contextlib.suppress(OSError):
        return sorted(path.name for path in folder.glob("*.lmspec"))[:MOST_NAMED]
    return []


def decode_source(data: bytes, shown: str, diagnostics: Diagnostics) -> Source | None:
    """Return bytes as text without byte order mark and with LF at line ends, or None if they are not UTF-8."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        source = Source(shown, data.decode("utf-8", errors="replace"))
        at = len(data[: error.start].decode("utf-8", errors="replace"))
        diagnostics.error("LM0106", Span(source, at, at + 1), "the file is not UTF-8", help="save it as UTF-8")
        return None
    return Source(shown, text)


def parse(source: Source, diagnostics: Diagnostics, kinds: Collection[str] = KINDS) -> tree.File:
    """Return the tree of a source; every syntax error is recorded, each once."""
    return parse_with_tokens(source, diagnostics, kinds)[0]


def parse_with_tokens(
    source: Source, diagnostics: Diagnostics, kinds: Collection[str] = KINDS
) -> tuple[tree.File, list[Token]]:
    """Return the tree of a source and the tokens that it was built from, `_SEP` between statements."""
    whole = Span(source, 0, len(source.text))
    if not _readable(source, diagnostics):
        return tree.File((tree.Bad(whole),), (), whole), []
    found = Diagnostics(most=MOST_MISTAKES)
    items: tuple[tree.Item, ...] = (tree.Bad(whole),)
    tokens = None
    with contextlib.suppress(Enough):
        tokens = lex(source, kinds, found)
        if tokens is not None:
            parsed, bad = _Driver(source, found).run(tokens, "start")
            items = Builder(source, found, bad).items(parsed.children if parsed else [], whole)
    for diagnostic in found.items:
        diagnostics.add(diagnostic)
    return tree.File(items, tuple(comments(source, tokens or [])), whole), tokens or []


def parse_file(path: Path, shown: str, diagnostics: Diagnostics) -> tree.File | None:
    """Return the tree of a file on disk, or None after recording why it cannot be read."""
    source = read_source(path, shown, diagnostics)
    return None if source is None else parse(source, diagnostics)


def parse_expression(source: Source, diagnostics: Diagnostics, place: Span | None = None) -> tree.Expr:
    """Return the expression that a source holds, or that stands at a place in it; `tree.Bad` after an error."""
    whole = place or Span(source, 0, len(source.text))
    if place is None and not _readable(source, diagnostics):
        return tree.Bad(whole)
    tokens = lex(source, (), diagnostics, whole.start, whole.end)
    if tokens is None:
        return tree.Bad(whole)
    parsed, _ = _Driver(source, diagnostics, whole.end).run(tokens, "expr")
    return tree.Bad(whole) if parsed is None else Builder(source, diagnostics, []).expr(parsed)


def parse_assignment(source: Source, diagnostics: Diagnostics) -> tree.Assign | None:
    """Return the assignment `path = expr` that a source holds, None after an error."""
    if not _readable(source, diagnostics):
        return None
    tokens = lex(source, (), diagnostics)
    parsed = None if tokens is None else _Driver(source, diagnostics).run(tokens, "assign")[0]
    return None if parsed is None else Builder(source, diagnostics, []).assign(parsed)


def _readable(source: Source, diagnostics: Diagnostics) -> bool:
    text = source.text
    if len(text) > LARGEST:
        _too_large(Span(source, 0, 0), diagnostics)
        return False
    if (at := text.find("\0")) >= 0:
        diagnostics.error(
            "LM0106",
            Span(source, at, at + 1),
            "the file holds a NUL character",
            help="remove it",
            edits=(Edit(Span(source, at, at + 1), ""),),
        )
        return False
    depth = 0
    for bracket in BRACKET.finditer(text):
        depth += 1 if bracket.group() in "([{" else -1
        if depth > DEEPEST:
            span = Span(source, bracket.start(), bracket.end())
            diagnostics.error("LM0105", span, f"brackets are nested deeper than {DEEPEST}")
            return False
    return True


def _too_large(span: Span, diagnostics: Diagnostics) -> None:
    diagnostics.error("LM0105", span, f"the file is larger than {LARGEST // 1024} KiB")


class Start(NamedTuple):
    """Where a statement begins: in the tokens that were read and kept, and in all of them."""

    kept: int
    token: int


class _Driver:
    """Feeds tokens to the parser; after an error goes back to the start of the statement and skips it."""

    def __init__(self, source: Source, diagnostics: Diagnostics, end: int | None = None) -> None:
        self.source, self.diagnostics = source, diagnostics
        self.end = len(source.text) if end is None else end
        self.bad: list[Span] = []

    def run(self, tokens: list[Token], start: str) -> tuple[Tree[Token] | None, list[Span]]:
        parser: Any = grammar().parse_interactive("", start=start)
        kept: list[Token] = []
        starts = [Start(0, 0)]
        at = 0
        while at < len(tokens):
            token = tokens[at]
            try:
                parser.feed_token(token)
            except UnexpectedToken:
                self._explain(tokens, at, starts[-1].token, parser)
                if start != "start":
                    return None, self.bad
                at = self._skip(tokens, at, starts)
                del kept[starts[-1].kept :]
                parser = _replayed(kept, start)
                continue
            kept.append(token)
            at += 1
            if token.type == "LBRACE":
                starts.append(Start(len(kept), at))
            elif token.type == "RBRACE" and len(starts) > 1:
                starts.pop()
            elif token.type == "_SEP":
                starts[-1] = Start(len(kept), at)
        try:
            return self._finished(parser), self.bad
        except UnexpectedToken:
            self._explain(tokens, at, starts[-1].token, parser)
            if start != "start":
                return None, self.bad
            return self._finished(_replayed(kept[: starts[0].kept], start)), self.bad

    @staticmethod
    def _finished(parser: Any) -> Tree[Token]:
        result = parser.feed_eof(None)
        return result if isinstance(result, Tree) else Tree("wrapped", [result])

    def _skip(self, tokens: list[Token], at: int, starts: list[Start]) -> int:
        """Return where to go on: after the separator, or at the brace, that ends the faulty statement."""
        first = starts[-1].token
        depth = 0
        for token in tokens[first:at]:
            depth += (token.type == "LBRACE") - (token.type == "RBRACE")
        while at < len(tokens):
            type_ = tokens[at].type
            if type_ == "RBRACE" and depth == 0:
                break
            depth += (type_ == "LBRACE") - (type_ == "RBRACE")
            at += 1
            if type_ == "_SEP" and depth == 0:
                break
        begin = tokens[first].start_pos or 0 if first < len(tokens) else len(self.source.text)
        end = (tokens[at - 1].end_pos or begin) if at else begin
        self.bad.append(Span(self.source, begin, max(begin, end)))
        starts[-1] = Start(starts[-1].kept, at)
        return at

    def _explain(self, tokens: list[Token], at: int, first: int, parser: Any) -> None:
        """Record what is wrong at token `at` of the statement that begins at `first`."""
        end = self.end
        token = tokens[at] if at < len(tokens) else Token("$END", "", end, end_pos=end)
        before = tokens[at - 1] if at > first else None
        span = Span(self.source, token.start_pos or 0, token.end_pos or 0)
        ends = token.type in ("_SEP", "RBRACE", "$END")
        error = self.diagnostics.error
        if before is not None and before.type in ("EQ", "PLUSEQ") and ends:
            name = "".join(tokens[first : at - 1])
            place = Span(self.source, before.end_pos or 0, (before.end_pos or 0) + 1)
            error(
                "LM0101", place, f"`{name}` has no value", label="expected a number, string, list, reference or block"
            )
        elif at < len(tokens) and not ends and (written := self._habit(tokens, at, first)) is not None:
            if written.help:
                marked = Span(self.source, written.token.start_pos or 0, written.token.end_pos or 0)
                message = f"`{written.token}` cannot stand here"
                error("LM0102", marked, message, help=written.help, edits=written.edits)
        elif token.type in KEYWORDS:
            error("LM0107", span, f"`{token}` is a keyword and cannot stand here", help="choose another name")
        elif token.type == "BAD_STRING":
            opening = Span(self.source, span.start, span.start + token.index('"') + 1)
            error("LM0104", opening, "the string is never closed", label="opened here", help='close it with "')
        elif token == "'":
            self._single_quotes(span)
        elif token.type == "DOT" and at + 1 < len(tokens) and tokens[at + 1].type == "NUMBER":
            self._fix("LM0108", span, "a number begins with a digit", "0.")
        elif token.type == "CMP" and token == "==" and before is not None and before.type in ("NAME", "STRING"):
            self._fix("LM0108", span, "`==` compares; a field is set with `=`", "=")
        elif token.type == "CMP":
            self._chained(tokens[first:at], span)
        elif token.type == "COMMA" and (opened := self._parenthesis(tokens[first:at])) is not None:
            self._tuple(opened, tokens[at:], span)
        elif before is not None and before.type == "EQ" and token.type == "EQ":
            self._fix("LM0108", span, "`=` stands twice", "")
        elif ends:
            after = f" after `{before}`" if before is not None else ""
            error("LM0102", span, f"the statement ends too early{after}", help="go on, or remove it")
        else:
            help = _expected(parser)
            if before is None and help == SEPARATE:
                help = ""
            comma = before is not None and help == SEPARATE and token.type in ("NAME", "STRING")
            end_before = (before.end_pos or 0) if before is not None else 0
            edits = (Edit(Span(self.source, end_before, end_before), ","),) if comma else ()
            error("LM0102", span, f"`{token}` cannot stand here", help=help, edits=edits)

    def _habit(self, tokens: list[Token], at: int, first: int) -> Any:
        from .habits import habit  # only where there is a mistake

        return habit(self.source, tokens, at, first)

    def _single_quotes(self, span: Span) -> None:
        line = self.source.text[span.end :].partition("\n")[0]
        inner, closed, _ = line.partition("'")
        whole = Span(self.source, span.start, span.end + len(inner) + 1) if closed else span
        edits = (Edit(whole, '"' + inner.replace('"', '\\"') + '"'),) if closed else ()
        message = "strings are written with double quotes"
        self.diagnostics.error("LM0108", whole, message, help='write "..."', edits=edits)

    def _chained(self, before: list[Token], span: Span) -> None:
        middle, depth = "", 0
        for token in reversed(before):
            depth += (token.type in ("RPAR", "RSQB", "RBRACE")) - (token.type in ("LPAR", "LSQB", "LBRACE"))
            if token.type == "CMP" and depth == 0:
                middle = self.source.text[token.end_pos : span.start].strip()
                break
        edits = (Edit(Span(self.source, span.start, span.start), f"and {middle} "),) if middle else ()
        help = f"write `and {middle}` before it" if middle else "join two of them with `and`"
        self.diagnostics.error("LM0108", span, "comparisons cannot be chained", help=help, edits=edits)

    def _tuple(self, opened: Token, after: list[Token], comma: Span) -> None:
        depth = 0
        for token in after:
            depth += (token.type in ("LPAR", "LSQB", "LBRACE")) - (token.type in ("RPAR", "RSQB", "RBRACE"))
            if depth < 0:
                break
        else:
            self.diagnostics.error("LM0108", comma, "there are no tuples", help="write a list: [a, b]")
            return
        start, end = opened.start_pos or 0, token.end_pos or 0
        brackets = ((start, start + 1, "["), (end - 1, end, "]")) if token.type == "RPAR" else ()
        edits = tuple(Edit(Span(self.source, low, high), text) for low, high, text in brackets)
        span = Span(self.source, start, end)
        self.diagnostics.error("LM0108", span, "there are no tuples", help="write a list: [a, b]", edits=edits)

    def _fix(self, code: str, span: Span, message: str, text: str) -> None:
        help = f"write `{text}`" if text else "remove one"
        self.diagnostics.error(code, span, message, help=help, edits=(Edit(span, text),))

    @staticmethod
    def _parenthesis(tokens: list[Token]) -> Token | None:
        """Return the parenthesis that is open behind some tokens, if that is the innermost bracket."""
        depth = 0
        for token in reversed(tokens):
            depth += (token.type in ("RPAR", "RSQB", "RBRACE")) - (token.type in ("LPAR", "LSQB", "LBRACE"))
            if depth < 0:
                return token if token.type == "LPAR" else None
        return None


def _replayed(tokens: list[Token], start: str) -> Any:
    """Return a parser that has read some tokens; mistakes are rare, so this is cheaper than copies of its stack."""
    parser: Any = grammar().parse_interactive("", start=start)
    for token in tokens:
        parser.feed_token(token)
    return parser


def _expected(parser: Any) -> str:
    accepted = parser.accepts()
    if "EQ" in accepted and "LBRACE" in accepted:
        return "a statement is `field = value` or `kind name { ... }`"
    if "NUMBER" in accepted:
        return "a value is expected: a number, string, list, reference or block"
    if "_SEP" in accepted:
        return SEPARATE
    return ""
