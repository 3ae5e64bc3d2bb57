"""Values of a database as text. Imports nothing, so that a child process starts fast."""

from __future__ import annotations


def plain(value: object) -> str | None:
    """Return a value as a reader would write it; None for NULL."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def quote(name: str, mark: str = '"') -> str:
    """Return a name as an SQL identifier."""
    return mark + name.replace(mark, mark * 2) + mark
