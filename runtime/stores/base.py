"""What a store is, whatever holds it: tables by name, each a list of rows of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ..data.people import Pools
from .values import plain

Row = dict[str, str]


class Source(Protocol):
    """Where the tables of a store lie."""

    @property
    def place(self) -> str:
        """The file or server, for messages; without a password."""

    def read(self, table: str, key: str, columns: Sequence[str], count: int | None) -> Iterator[Sequence[Any]]:
        """Yield key and columns of the first `count` rows (None: all). Raises LmcError (LM0702) if that fails.

        Rows of a file come as they were written, those of a server in the order of their key.
        """

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Return each column of a table and its type as the database calls it. Raises LmcError as `read` does."""


@frozen
class TableView:
    """One table of a store.

    `pools` are what values can be drawn from afresh; None for a table that was not made here.
    """

    source: Source
    name: str
    key: str
    columns: tuple[str, ...]
    pools: Pools | None = None

    def rows(self, count: int | None) -> list[Row]:
        """Return the first `count` rows, or all; NULL is "".

        Raises LmcError: LM0702 for an unreadable table, LM0705 for too few rows.
        """
        names = (self.key, *self.columns)
        found = [
            dict(zip(names, (plain(value) or "" for value in row), strict=True))
            for row in self.source.read(self.name, self.key, self.columns, count)
        ]
        if count is not None and len(found) < count:
            message = f"table `{self.name}` has {len(found):,} rows; {count:,} are asked for"
            raise LmcError(Diagnostic("LM0705", message, None, help="lower `count`"))
        return found


@frozen
class Database:
    """A store that is there, and its tables by name."""

    source: Source
    tables: dict[str, TableView]

    @property
    def path(self) -> Path:
        """The file. Raises AttributeError for a server, which has none."""
        path: Path = self.source.path  # type: ignore[attr-defined]
        return path


def unreadable(table: str, place: str, error: Exception) -> LmcError:
    """Return the error for a table that cannot be read."""
    reason = str(error).strip().split("\n")[0]
    return LmcError(Diagnostic("LM0702", f"table `{table}` of `{place}`: {reason}", None))
