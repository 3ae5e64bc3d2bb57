"""Rows of an answer as bounded text. Light: child processes import it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..stores.values import plain

Rows = list[list[str | None]]
LONGEST_STATEMENT = 10_000
"""Bytes of a statement that a model wrote."""


class Refused(Exception):
    """A statement that is not run, or did not end well, and why."""


class Lost(Refused):
    """A statement during which the connection broke; no other can run on it."""


def bounded(rows: Iterable[Sequence[object]], most: int, limit: int) -> Rows:
    """Return the first `most` rows as text; reading stops once they have `limit` characters."""
    found: Rows = []
    size = 0
    for row in rows:
        values = [plain(value) for value in row]
        values = [None if value is None else value[: limit + 1] for value in values]
        found.append(values)
        size += sum(len(value or "NULL") + 2 for value in values)
        if len(found) == most or size > limit:
            break
    return found


def told(rows: Rows) -> str | None:
    """Return rows as a model reads them: one a line, values joined by a comma; None if there is no value at all."""
    if all(value is None for row in rows for value in row):
        return None
    return "\n".join(", ".join("NULL" if value is None else value for value in row) for row in rows)
