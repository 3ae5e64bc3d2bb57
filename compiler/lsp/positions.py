"""Places as editors count them: lines from 0, and UTF-16 code units within a line."""

from __future__ import annotations

from attrs import frozen

from ...spec.span import Source, Span


@frozen(order=True)
class Position:
    """Line and UTF-16 code unit, both from 0."""

    line: int
    character: int


@frozen
class Range:
    """From one position to another; the end is not part of it."""

    start: Position
    end: Position


def position_at(source: Source, offset: int) -> Position:
    """Return the position of a character offset."""
    line, column = source.line_col(offset)
    return Position(line - 1, units(source.text[offset - column + 1 : offset]))


def offset_at(source: Source, position: Position) -> int:
    """Return the character offset of a position; one outside the text is moved to the nearest place in it."""
    if position.line < 0:
        return 0
    if position.line >= len(source.line_starts):
        return len(source.text)
    at = source.line_starts[position.line]
    left = position.character
    for char in source.line(position.line + 1):
        left -= 2 if ord(char) > 0xFFFF else 1
        if left < 0:
            break
        at += 1
    return at


def range_of(span: Span) -> Range:
    """Return a span as a range."""
    return Range(position_at(span.source, span.start), position_at(span.source, span.end))


def units(text: str) -> int:
    """Return how many UTF-16 code units a text takes."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)
