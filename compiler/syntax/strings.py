"""String literals: from what is written to what is meant, with the place of every character."""

from __future__ import annotations

import re

from attrs import frozen

from ...spec.diagnostic import Diagnostics
from ...spec.span import Source, Span

PREFIX = re.compile(r"rf|re|r|f|")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\", "{": "{", "}": "}"}
SURROGATES = range(0xD800, 0xE000)


@frozen
class Literal:
    """The characters of a literal and the source offset of each; `raw` keeps backslashes."""

    prefix: str
    text: str
    offsets: tuple[int, ...]


def read_literal(source: Source, start: int, end: int, diagnostics: Diagnostics) -> Literal:
    """Return the literal that is written at [start, end) of a source; an unknown escape is recorded."""
    written = source.text[start:end]
    match = PREFIX.match(written)
    assert match is not None
    prefix = match.group()
    quotes = 3 if written.startswith('"""', len(prefix)) else 1
    chars = [(source.text[at], at) for at in range(start + len(prefix) + quotes, end - quotes)]
    if quotes == 3:
        chars = _dedent(chars)
    if "r" not in prefix:
        chars = _unescape(source, chars, diagnostics)
    return Literal(prefix, "".join(c for c, _ in chars), tuple(at for _, at in chars))


def _dedent(chars: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Drop a first line end, and the closing line's indent from every line."""
    text = "".join(c for c, _ in chars)
    indent = text[text.rfind("\n") + 1 :] if "\n" in text else ""
    if indent.strip(" \t"):
        indent = ""
    lines: list[list[tuple[str, int]]] = [[]]
    for char in chars:
        lines[-1].append(char)
        if char[0] == "\n":
            lines.append([])
    kept = [line[len(indent) :] if "".join(c for c, _ in line).startswith(indent) else line for line in lines]
    if len(kept) > 1 and not "".join(c for c, _ in kept[0]).strip():
        kept = kept[1:]
    if len(lines) > 1 and kept and not kept[-1] and len(kept) > 1:
        kept[-2] = kept[-2][:-1]
    return [char for line in kept for char in line]


def _unescape(source: Source, chars: list[tuple[str, int]], diagnostics: Diagnostics) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(chars):
        char, offset = chars[at]
        if char != "\\" or at + 1 == len(chars):
            found.append((char, offset))
            at += 1
            continue
        letter = chars[at + 1][0]
        width = {"x": 2, "u": 4}.get(letter, 0)
        digits = "".join(c for c, _ in chars[at + 2 : at + 2 + width])
        if width and re.fullmatch(rf"[0-9a-fA-F]{{{width}}}", digits) and int(digits, 16) not in SURROGATES:
            found.append((chr(int(digits, 16)), offset))
        elif letter in ESCAPES:
            found.append((ESCAPES[letter], offset))
        else:
            span = Span(source, offset, chars[at + 1][1] + 1)
            diagnostics.error(
                "LM0102", span, f"`\\{letter}` is no escape", help='write \\\\ for a backslash, or r"..."'
            )
            found.append((letter, offset))
            width = 0
        at += 2 + width
    return found
