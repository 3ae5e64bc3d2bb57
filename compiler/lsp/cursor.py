"""Where a cursor stands, from the tokens before it alone: a statement that is being written seldom parses.

train base { optim : adamw { lr = 1e-3 * |     ->     blocks train base, optim : adamw; statement `lr = 1e-3 *`
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import Factory, define, frozen
from lark import Token

from ..syntax.lexer import CLOSING, OPENING, grammar
from ..syntax.parse import KEYWORDS, KINDS

WORDS = ("NAME", *KEYWORDS)
OPEN_STRING = "BAD_STRING"


@frozen
class Header:
    """What stands before a brace: `kind name : base {`, or `path = base {` with `path` for a block as a value."""

    kind: str
    name: str | None = None
    base: str | None = None
    path: tuple[str, ...] = ()


@frozen
class Cursor:
    """Where a cursor stands.

    Attributes:
        blocks: what it is in, outermost first. statement: the tokens of the statement in the innermost block.
        near: the tokens since the innermost bracket of any form. prefix: the word, or the string, at the cursor.
        start: where that begins. quoted: whether the cursor is in a string. comment: whether it is in a comment.
    """

    blocks: tuple[Header, ...]
    statement: tuple[Token, ...]
    near: tuple[Token, ...]
    prefix: str
    start: int
    quoted: bool = False
    comment: bool = False

    @property
    def chain(self) -> tuple[str, ...] | None:
        """The names before a dot at the cursor, `a.b.|`; None where there is no dot."""
        names: list[str] = []
        tokens = list(self.near)
        while tokens and tokens[-1].type == "DOT":
            if len(tokens) < 2 or tokens[-2].type != "NAME":
                return ()
            names.insert(0, str(tokens[-2]))
            del tokens[-2:]
        return tuple(names) if names else None

    @property
    def assigned(self) -> tuple[str, ...] | None:
        """The path whose value is being written; None on the left of `=`."""
        for at, token in enumerate(self.statement):
            if token.type in ("EQ", "PLUSEQ"):
                return tuple(_key(t) for t in self.statement[:at] if t.type in ("NAME", "STRING"))
        return None


@define
class _Frame:
    opening: str
    header: Header | None = None
    tokens: list[Token] = Factory(list)


def cursor_at(text: str, offset: int) -> Cursor:
    """Return where the cursor is at a character of a text."""
    before = text[:offset]
    raw = [token for token in grammar().lex(before) if token.type != "COMMENT"]
    last = raw[-1] if raw else None
    end = 0 if last is None else last.end_pos or 0
    comment = "#" in before[end:] or (last is not None and last.type == "_NL" and "#" in last.rpartition("\n")[2])
    prefix, start, quoted = "", offset, False
    if last is not None and last.type == OPEN_STRING:
        raw.pop()
        opening = last.index('"') + (3 if '"""' in last else 1)
        prefix, start, quoted = last[opening:], (last.start_pos or 0) + opening, True
        letters = str(raw.pop()) if raw and raw[-1].type == "NAME" and raw[-1].end_pos == last.start_pos else ""
        read = _interpolation(prefix) if "f" in letters else None
        if read is not None:
            raw += [Token("LPAR", "("), *grammar().lex(read)]
            word = raw[-1] if raw[-1].type in WORDS and raw[-1].end_pos == len(read) else None
            prefix, quoted = "" if word is None else str(raw.pop()), False
            start = offset - len(prefix)
    elif last is not None and last.type in WORDS and end == offset:
        prefix, start = str(last), last.start_pos or 0
        raw.pop()
    frames = _frames(raw)
    blocks = tuple(frame.header for frame in frames if frame.header is not None)
    inner = next(frame for frame in reversed(frames) if frame.opening in ("LBRACE", ""))
    return Cursor(blocks, tuple(inner.tokens), tuple(frames[-1].tokens), prefix, start, quoted, comment)


def _interpolation(text: str) -> str | None:
    """Return what of an f-string that ends here is an expression: what follows a `{` that is not closed."""
    plain = text.replace("{{", "  ").replace("}}", "  ")
    at = plain.rfind("{")
    inside = plain[at + 1 :] if at >= 0 else "}"
    return None if "}" in inside or ":" in inside else inside


def _frames(raw: Sequence[Token]) -> list[_Frame]:
    frames = [_Frame("")]
    for at, token in enumerate(raw):
        if _begins_block(raw, at):
            del frames[1:]
            frames[0].tokens.clear()
        top = frames[-1]
        braced = top.opening in ("LBRACE", "")
        if token.type == "_NL" or (token.type == "COMMA" and braced):
            if token.type == "_NL" and not braced and _begins_statement(raw, at + 1):
                while frames[-1].opening not in ("LBRACE", ""):
                    frames.pop()
            if frames[-1].opening in ("LBRACE", ""):
                frames[-1].tokens.clear()
        elif token.type == "LBRACE":
            frames.append(_Frame("LBRACE", _header(frames)))
        elif token.type in OPENING:
            frames.append(_Frame(token.type))
        elif token.type in CLOSING:
            if any(OPENING.get(frame.opening) == token.type for frame in frames):
                while OPENING.get(frames.pop().opening) != token.type:
                    pass
            frames[-1].tokens.append(token)
        else:
            top.tokens.append(token)
    return frames


def _begins_block(raw: Sequence[Token], at: int) -> bool:
    """Whether a top-level block begins at a token, so that all before it has ended."""
    token = raw[at]
    ahead = [t.type for t in raw[at + 1 : at + 3]]
    return token.column == 1 and token in KINDS and ahead[:1] == ["NAME"] and ahead[1:] in (["COLON"], ["LBRACE"])


def _begins_statement(raw: Sequence[Token], at: int) -> bool:
    ahead = [t.type for t in raw[at : at + 12]]
    end = 1
    while ahead[end : end + 2] == ["DOT", "NAME"]:
        end += 2
    return ahead[:1] == ["NAME"] and ahead[end : end + 1] in (["EQ"], ["PLUSEQ"], ["NAME"])


def _header(frames: Sequence[_Frame]) -> Header:
    tokens, inner = frames[-1].tokens, next(f for f in reversed(frames) if f.opening in ("LBRACE", ""))
    equals = next((at for at, token in enumerate(inner.tokens) if token.type in ("EQ", "PLUSEQ")), None)
    if equals is not None:
        path = tuple(_key(t) for t in inner.tokens[:equals] if t.type in ("NAME", "STRING"))
        return Header("", base=_dotted_end(tokens), path=path)
    colon = next((at for at, token in enumerate(tokens) if token.type == "COLON"), len(tokens))
    names = [_key(t) for t in tokens[:colon] if t.type in ("NAME", "STRING")]
    base = "".join(map(str, tokens[colon + 1 :])) or None
    return Header(names[0] if names else "", names[1] if len(names) > 1 else None, base)


def _dotted_end(tokens: Sequence[Token]) -> str | None:
    names: list[str] = []
    for token in reversed(tokens):
        if token.type not in ("NAME", "DOT") or (names and (token.type == "NAME") == (names[0] != ".")):
            break
        names.insert(0, str(token))
    return "".join(names) or None


def _key(token: Token) -> str:
    return str(token).strip('"')
