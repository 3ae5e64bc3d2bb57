"""SQLite files as stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote as quote_url

from attrs import frozen

from .base import Row, unreadable
from .values import quote


@frozen
class SqliteFile:
    """An SQLite database file."""

    path: Path

    @property
    def place(self) -> str:
        """The file, for messages."""
        return str(self.path)

    def read(self, table: str, key: str, columns: Sequence[str], count: int | None) -> Iterator[Sequence[Any]]:
        """Yield key and columns of the first `count` rows, as they were written. Raises LmcError (LM0702)."""
        listed = ", ".join(_quote(name) for name in (key, *columns))
        query = f"SELECT {listed} FROM {_quote(table)} ORDER BY rowid LIMIT ?"
        try:
            with closing(connect(self.path)) as connection:
                yield from connection.execute(query, (-1 if count is None else count,))
        except sqlite3.Error as error:
            raise unreadable(table, self.place, error) from error

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Return each column and its type as it was declared. Raises LmcError (LM0702)."""
        try:
            with closing(connect(self.path)) as connection:
                rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
                return [(name, kind) for name, kind in rows]
        except sqlite3.Error as error:
            raise unreadable(table, self.place, error) from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a database file for reading only."""
    return sqlite3.connect(read_only_uri(path), uri=True)


def read_only_uri(path: Path) -> str:
    """Return the URI that opens a file for reading only, whatever its name is made of."""
    return f"file:{quote_url(str(path))}?mode=ro"


def write_table(path: Path, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Add a table of text to a file; the first column is its key."""
    declared = ", ".join(f"{_quote(c)} TEXT{' PRIMARY KEY' if i == 0 else ''}" for i, c in enumerate(columns))
    marks = ", ".join("?" for _ in columns)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute(f"CREATE TABLE {_quote(name)} ({declared})")
            values = (tuple(row[column] for column in columns) for row in rows)
            connection.executemany(f"INSERT INTO {_quote(name)} VALUES ({marks})", values)


def update_rows(path: Path, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Overwrite columns of the first rows of a table, in the order in which they were written."""
    settings = ", ".join(f"{_quote(column)} = ?" for column in columns)
    with closing(sqlite3.connect(path)) as connection, connection:
        query = f"SELECT rowid FROM {_quote(name)} ORDER BY rowid LIMIT ?"
        numbers = [number for (number,) in connection.execute(query, (len(rows),))]
        values = [(*(row[column] for column in columns), number) for row, number in zip(rows, numbers, strict=True)]
        connection.executemany(f"UPDATE {_quote(name)} SET {settings} WHERE rowid = ?", values)


def _quote(name: str) -> str:
    """Return an identifier; in double quotes SQLite would take the name of a missing column for a string."""
    return quote(name, "`")
