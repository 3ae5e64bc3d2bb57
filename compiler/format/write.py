"""Pass: a layout becomes text.

What is on one line stays there while it is under 100 columns; a list or block of several lines has one for each line
of entries that was written, or one for each entry where these do not fit. Numbers fill their lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lark import Token

from .layout import Entry, Group, Part, Remark
from .lines import STEP, Lines

WIDTH = 100
"""Columns that a line stays under if it can."""


def write_layout(whole: Group) -> str:
    """Return the text of a file."""
    return _Writer().run(whole)


class _Writer:
    def __init__(self) -> None:
        self.lines = Lines()
        self.flats: dict[int, str | None] = {}

    def run(self, whole: Group) -> str:
        self._rows(whole, 0)
        return self.lines.text() if self.lines.done else ""

    # One line

    def _flat(self, parts: Sequence[Part]) -> str | None:
        """Return parts on one line, or None where a comment, a line end that is kept or a literal forbids it."""
        texts: list[str] = []
        for before, part in _pairs(parts):
            text = self._flat_part(part)
            if text is None:
                return None
            texts.append(f" {text}" if before is not None and _space(before, part) else text)
        return "".join(texts)

    def _flat_part(self, part: Part) -> str | None:
        if isinstance(part, Group):
            if id(part) not in self.flats:
                self.flats[id(part)] = self._flat_group(part)
            return self.flats[id(part)]
        return None if isinstance(part, Remark) or "\n" in part else str(part)

    def _flat_group(self, group: Group) -> str | None:
        if group.commented or (group.entries and _is_broken(group)):
            return None
        entries = [self._flat(entry.parts) for entry in group.entries]
        text = ", ".join(entry for entry in entries if entry is not None)
        if None in entries:
            return None
        if group.braces:
            return f"{{ {text} }}" if text else "{}"
        return f"{_opening(group)}{text}{_closing(group)}"

    def _fits(self, text: str | None, more: int = 0) -> bool:
        return text is not None and self.lines.column + len(text) + more < WIDTH

    # Several lines

    def _rows(self, group: Group, indent: int) -> None:
        """Write entries, each row on a line of its own, and the comments between them."""
        end = "" if group.braces or _is_comprehension(group) else ","
        first = True
        for row in self._each_row(group, indent, len(end)):
            for remark in row[0].above:
                self._remark_line(remark, indent, first)
                first = False
            self.lines.start(indent, blank=row[0].blank and not first)
            first = False
            if len(row) == 1:
                self._entry(row[0], indent, len(end))
            else:
                self.lines.put(", ".join(self._flat(entry.parts) or "" for entry in row))
                self._mark(row[0], several=True)
            self.lines.put(end)
            if (beside := row[-1].beside) is not None:
                self.lines.remark(beside.text)
        for remark in group.below:
            self._remark_line(remark, indent, first)
            first = False

    def _remark_line(self, remark: Remark, indent: int, first: bool) -> None:
        self.lines.start(indent, blank=remark.blank and not first)
        self.lines.remark(remark.text)

    def _each_row(self, group: Group, indent: int, more: int) -> Iterator[list[Entry]]:
        row: list[Entry] = []
        for entry in group.entries:
            if row and (entry.above or row[-1].beside or row[-1].last < entry.first):
                yield from self._divided(row, indent, more)
                row = []
            row.append(entry)
        if row:
            yield from self._divided(row, indent, more)

    def _divided(self, row: list[Entry], indent: int, more: int) -> Iterator[list[Entry]]:
        """Yield the entries of one line together if they fit, else alone; numbers are yielded as many as fit."""
        texts = [self._flat(entry.parts) for entry in row]
        if None not in texts and indent + len(", ".join(map(str, texts))) + more < WIDTH:
            yield row
            return
        if not all(_is_number(entry) for entry in row):
            yield from ([entry] for entry in row)
            return
        line: list[Entry] = []
        width = indent
        for entry, text in zip(row, texts, strict=True):
            more = len(str(text)) + 2
            if line and width + more > WIDTH:
                yield line
                line, width = [], indent
            line.append(entry)
            width += more
        yield line

    def _entry(self, entry: Entry, indent: int, more: int) -> None:
        text = self._flat(entry.parts)
        line = self.lines.current
        if text is not None and self._fits(text, more):
            self.lines.put(text)
        else:
            self._parts(entry.parts, indent, more)
        if self.lines.current is line:
            self._mark(entry)

    def _mark(self, entry: Entry, *, several: bool = False) -> None:
        """Say what of the line of a field is aligned: its path and sign."""
        at = next((i for i, p in enumerate(entry.parts) if isinstance(p, Token) and p.type in ("EQ", "PLUSEQ")), 0)
        parts, line = entry.parts, self.lines.current
        if not at and len(parts) > 2 and isinstance(parts[1], Token) and parts[1].type == "COLON":
            at = 1
        assert line is not None
        if at:
            line.path, line.sign, line.several = self._flat(parts[:at]) or "", str(parts[at]), several

    def _parts(self, parts: Sequence[Part], indent: int, more: int, *, kept: bool = False) -> None:
        """Write parts, brackets over several lines where they must; `kept` keeps line ends between parts."""
        inner = indent
        broken = False
        for at, (before, part) in enumerate(_pairs(parts)):
            own_line = before is not None and kept and _first(part) > _last(before)
            if broken and not kept:
                inner = indent + STEP
            if broken or own_line:
                self.lines.start(inner)
            elif before is not None and _space(before, part) and not isinstance(part, Remark):
                self.lines.put(" ")
            broken = isinstance(part, Remark)
            if isinstance(part, Remark):
                self.lines.remark(part.text)
            elif isinstance(part, Group):
                self._group(part, inner, self._width_behind(parts[at + 1 :], more))
            else:
                self.lines.put(str(part))

    def _width_behind(self, parts: Sequence[Part], more: int) -> int:
        """Return the columns up to the next bracket that could be broken."""
        width = 0
        for part in parts:
            if isinstance(part, Group):
                return width + 2
            width += 0 if isinstance(part, Remark) else len(part) + 1
        return width + more

    def _group(self, group: Group, indent: int, more: int) -> None:
        text = self._flat_part(group)
        if self._fits(text, more):
            self.lines.put(str(text))
        elif group.flows:
            self._flowing(group, indent, more)
        elif not group.entries and not group.commented:
            self.lines.put(str(text))
        else:
            self.lines.put(_opening(group))
            if group.beside is not None:
                self.lines.remark(group.beside.text)
            self._rows(group, indent + STEP)
            self.lines.start(indent)
            self.lines.put(_closing(group))

    def _flowing(self, group: Group, indent: int, more: int) -> None:
        """Write ( ) or an index, line ends where they were."""
        parts = group.entries[0].parts if group.entries else []
        self.lines.put(_opening(group))
        line = group.first
        if parts and _first(parts[0]) > line:
            self.lines.start(indent + STEP)
        if parts:
            self._parts(parts, indent + STEP, more + 1, kept=True)
            line = _last(parts[-1])
        if group.last > line:
            self.lines.start(indent)
        self.lines.put(_closing(group))


def _pairs(parts: Sequence[Part]) -> Iterator[tuple[Part | None, Part]]:
    return zip([None, *parts], parts, strict=False)


def _space(before: Part, part: Part) -> bool:
    """Whether a space stands between two parts of a line."""
    if isinstance(before, Token) and before.type in ("SIGN", "DOT"):
        return False
    if isinstance(part, Group):
        called = isinstance(before, Token) and before.type == "NAME" and str(part.opening) == "("
        return not called and not part.is_index
    return isinstance(part, Remark) or part.type not in ("COMMA", "DOT")


def _is_broken(group: Group) -> bool:
    """Whether a block or list was written on several lines."""
    if group.braces:
        return group.last > group.first
    return not group.flows and group.entries[0].first > group.first


def _opening(group: Group) -> str:
    return str(group.opening)


def _closing(group: Group) -> str:
    return {"{": "}", "[": "]", "(": ")"}[str(group.opening)]


def _is_comprehension(group: Group) -> bool:
    return any(isinstance(part, Token) and part.type == "FOR" for entry in group.entries for part in entry.parts)


def _is_number(entry: Entry) -> bool:
    return all(isinstance(part, Token) and part.type in ("NUMBER", "SIGN") for part in entry.parts)


def _first(part: Part) -> int:
    return part.first if isinstance(part, Group) else part.line or 0


def _last(part: Part) -> int:
    if isinstance(part, Group):
        return part.last
    return part.line if isinstance(part, Remark) else part.end_line or 0
