"""Diagnostics as text, as JSON, and as annotations of a code host.

error[LM0203]: model variant `transformer` has no field `layer`         s.lmspec:12:3
 12 |   layer = 6
    |   ^^^^^ = help: did you mean `layers`? [fix available]
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable
from typing import Any

from ...spec.diagnostic import Diagnostic
from ...spec.span import SETTING, Span

WIDTH = 72
LONGEST = 200
NARROWEST = 20
COLORS = {"error": "\033[1;31m", "warning": "\033[1;33m", "hint": "\033[1;36m"}
BLUE, BOLD, RESET = "\033[34m", "\033[1m", "\033[0m"
TAB = "    "


def render_text(diagnostics: Iterable[Diagnostic], *, color: bool = False, columns: int | None = None) -> str:
    """Return diagnostics as a terminal of so many columns shows them, so that no line of a source is wrapped."""
    return "\n".join(_Text(color, columns).block(diagnostic) for diagnostic in diagnostics)


class _Text:
    def __init__(self, color: bool, columns: int | None) -> None:
        self.color, self.columns = color, columns

    def paint(self, text: str, code: str) -> str:
        return f"{code}{text}{RESET}" if self.color and text else text

    def block(self, found: Diagnostic) -> str:
        title = f"{found.severity}[{found.code}]"
        message = _short(found.message)
        line = f"{title}: {message}"
        place = _shown_place(found.span)
        head = self.paint(title, COLORS[found.severity]) + self.paint(f": {message}", BOLD)
        lines = [head + self._gap(line, place) + place]
        places = [] if found.span is None else [(found.span, "^", found.label)]
        places += [(label.span, "^", label.text) for label in found.labels]
        places = [(span, mark, text) for span, mark, text in places if span.source.text]
        gutter = max((len(str(span.line)) for span, _, _ in places), default=1) + 1
        first_file = found.span.source.path if found.span else ""
        above: Span | None = None
        for number, (span, mark, text) in enumerate(places):
            excerpt = self._excerpt(span, mark, text, gutter, first_file, number == 0, found.severity)
            lines += excerpt[-1:] if _same_line(above, span) else excerpt
            above = span
        if found.help:
            written = [edit for edit in found.edits if edit.span.source.path != SETTING]
            fix = " [fix available]" if written else ""
            lines.append(f"{' ' * (gutter + 1)}= help: {_short(found.help)}{fix}")
        return "\n".join(lines) + "\n"

    def _gap(self, line: str, place: str) -> str:
        """Return what stands between a title and its place: a line end where they do not fit beside each other."""
        if not place:
            return ""
        at = WIDTH if self.columns is None else min(WIDTH, self.columns - _cells(place))
        wraps = self.columns is not None and _cells(line) + 2 + _cells(place) > self.columns
        return "\n  --> " if wraps else " " * max(2, at - _cells(line))

    def _excerpt(
        self, span: Span, mark: str, text: str, gutter: int, first_file: str, primary: bool, severity: str
    ) -> list[str]:
        found = []
        if span.source.path != first_file:
            found.append(f"{' ' * (gutter + 1)}--> {shown_path(span)}:{span.line}:{span.column}")
        limit = LONGEST if self.columns is None else max(NARROWEST, self.columns - gutter - 3)
        source, column = _around(span.source.line(span.line), span.column - 1, limit)
        before = _display(source[:column])
        marks = mark * max(1, _cells(_display(source[column : column + span.end - span.start])))
        found.append(f"{self.paint(f'{span.line:>{gutter}} |', BLUE)} {_display(source)}".rstrip())
        color = COLORS[severity] if primary else BLUE
        caret = self.paint(marks + (f" {_short(text)}" if text else ""), color)
        found.append(f"{self.paint(' ' * gutter + ' |', BLUE)} {' ' * _cells(before)}{caret}")
        return found


def _same_line(above: Span | None, span: Span) -> bool:
    """Whether the line of a span is the one that was just shown."""
    return above is not None and above.source.path == span.source.path and above.line == span.line


def _shown_place(span: Span | None) -> str:
    """Return `path:line:column`; nothing for what is in no text, as a file that cannot be read."""
    return "" if span is None or not span.source.text else f"{shown_path(span)}:{span.line}:{span.column}"


def _around(line: str, column: int, limit: int) -> tuple[str, int]:
    """Return what is shown of a line in at most `limit` cells, and where the character at `column` is in it."""
    if len(line) <= limit and _cells(_display(line)) <= limit:
        return line, column
    room = limit - 2
    start = _back(line, min(column, len(line)), room // 2)
    end = start
    while end < len(line) and (room := room - _cells(_display(line[end]))) >= 0:
        end += 1
    if end == len(line):
        start = _back(line, start, room)
    before, behind = "…" if start else "", "…" if end < len(line) else ""
    return f"{before}{line[start:end]}{behind}", column - start + len(before)


def _back(line: str, at: int, room: int) -> int:
    """Return where in a line the characters before `at` begin that fit into so many cells."""
    while at > 0 and (room := room - _cells(_display(line[at - 1]))) >= 0:
        at -= 1
    return at


def _short(text: str) -> str:
    """Return a text without the middle of what is far too long: a name may be a whole file."""
    return text if len(text) <= 5 * LONGEST else f"{text[: 2 * LONGEST]} … {text[-LONGEST:]}"


def _display(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text).replace("\t", TAB)


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes: marks take none, wide characters two."""
    if text.isascii():
        return len(text)
    shown = (c for c in text if unicodedata.category(c) not in ("Mn", "Me"))
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)


def shown_path(span: Span) -> str:
    """Return a source's path, relative to the working directory where it is below."""
    path = span.source.path
    if not os.path.isabs(path):
        return path
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Return diagnostics as a JSON list with spans and edits."""
    return json.dumps([_plain(diagnostic) for diagnostic in diagnostics], ensure_ascii=False, indent=1)


def _plain(found: Diagnostic) -> dict[str, Any]:
    return {
        "code": found.code,
        "severity": found.severity,
        "message": found.message,
        "span": _place(found.span),
        "label": found.label,
        "labels": [{"span": _place(label.span), "text": label.text} for label in found.labels],
        "help": found.help,
        "edits": [{"span": _place(edit.span), "text": edit.text} for edit in found.edits],
    }


def _place(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    line, column = span.source.line_col(span.end)
    return {
        "path": span.source.path,
        "start": {"offset": span.start, "line": span.line, "column": span.column},
        "end": {"offset": span.end, "line": line, "column": column},
    }


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Return diagnostics as workflow commands that annotate changed lines."""
    lines = []
    for found in diagnostics:
        where = "" if found.span is None else f"{_annotated(found.span)},"
        level = {"hint": "notice"}.get(found.severity, found.severity)
        text = found.message + (f"\n{found.help}" if found.help else "")
        lines.append(f"::{level} {where}title={found.code}::{_escaped(text)}")
    return "\n".join(lines)


def _annotated(span: Span) -> str:
    """Return the place of an annotation; columns count only within one line."""
    line, column = span.source.line_col(max(span.start, span.end - 1))
    place = f"file={_escaped(shown_path(span), ':,')},line={span.line},endLine={line}"
    return f"{place},col={span.column},endColumn={column}" if line == span.line else place


def _escaped(text: str, more: str = "") -> str:
    """Return text as workflow commands take it."""
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in text)
