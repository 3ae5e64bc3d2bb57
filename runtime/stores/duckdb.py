"""DuckDB files as stores."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen

from ..extras import library
from .base import Row, unreadable
from .values import quote

BATCH = 20_000
"""Rows of one INSERT: a statement per row is a hundred times slower."""


@frozen
class DuckdbFile:
    """A DuckDB database file."""

    path: Path

    @property
    def place(self) -> str:
        """The file, for messages."""
        return str(self.path)

    def read(self, table: str, key: str, columns: Sequence[str], count: int | None) -> Iterator[Sequence[Any]]:
        """Yield key and columns of the first `count` rows, as they were written. Raises LmcError: LM0702, LM0709."""
        duckdb = library("duckdb", "sql", "a DuckDB store")
        listed = ", ".join(quote(name) for name in (key, *columns))
        query = f"SELECT {listed} FROM {quote(table)} ORDER BY rowid" + ("" if count is None else f" LIMIT {count}")
        try:
            with closing(duckdb.connect(str(self.path), read_only=True)) as connection:
                rows = connection.execute(query)
                while batch := rows.fetchmany(BATCH):
                    yield from batch
        except duckdb.Error as error:
            raise unreadable(table, self.place, error) from error

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Return each column and its type. Raises LmcError: LM0702, LM0709."""
        duckdb = library("duckdb", "sql", "a DuckDB store")
        try:
            with closing(duckdb.connect(str(self.path), read_only=True)) as connection:
                return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {quote(table)}").fetchall()]
        except duckdb.Error as error:
            raise unreadable(table, self.place, error) from error


def write_table(path: Path, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Add a table of text to a file; the first column is its key. Raises LmcError (LM0709)."""
    declared = ", ".join(f"{quote(c)} TEXT{' PRIMARY KEY' if i == 0 else ''}" for i, c in enumerate(columns))
    lists = ", ".join("unnest(?)" for _ in columns)
    left = iter(rows)
    with closing(library("duckdb", "sql", "a DuckDB store").connect(str(path))) as connection:
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE {quote(name)} ({declared})")
        while batch := list(itertools.islice(left, BATCH)):
            values = [[row[column] for row in batch] for column in columns]
            connection.execute(f"INSERT INTO {quote(name)} SELECT {lists}", values)
        connection.execute("COMMIT")


def update_rows(path: Path, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Overwrite columns of the first rows of a table, in the order in which they were written."""
    settings = ", ".join(f"{quote(column)} = new.c{number}" for number, column in enumerate(columns))
    lists = ", ".join(f"unnest(?) AS c{number}" for number in range(len(columns)))
    with closing(library("duckdb", "sql", "a DuckDB store").connect(str(path))) as connection:
        query = f"SELECT rowid FROM {quote(name)} ORDER BY rowid LIMIT {len(rows)}"
        numbers = [number for (number,) in connection.execute(query).fetchall()]
        values = [[row[column] for row in rows] for column in columns]
        connection.execute(
            f"UPDATE {quote(name)} AS old SET {settings} FROM (SELECT unnest(?) AS number, {lists}) AS new"
            " WHERE old.rowid = new.number",
            [numbers, *values],
        )
