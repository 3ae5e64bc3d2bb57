"""SQLite databases: made ones written whole or not at all, given ones opened and checked."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.store import People, Sqlite, Table
from .people import Pools, load_pools, people

Row = dict[str, str]


@frozen
class TableView:
    """One table of a database file; rows come in the order in which they were written.

    `pools` are what values can be drawn from afresh; None for a table that was not made here.
    """

    path: Path
    name: str
    key: str
    columns: tuple[str, ...]
    pools: Pools | None = None

    def rows(self, count: int) -> list[Row]:
        """Return the first `count` rows. Raises LmcError: LM0702 for an unreadable table, LM0705 for too few rows."""
        names = (self.key, *self.columns)
        listed = ", ".join(_quote(name) for name in names)
        query = f"SELECT {listed} FROM {_quote(self.name)} ORDER BY rowid LIMIT ?"
        try:
            with closing(connect(self.path)) as connection:
                found = [dict(zip(names, map(str, row), strict=True)) for row in connection.execute(query, (count,))]
        except sqlite3.Error as error:
            raise LmcError(Diagnostic("LM0702", f"table `{self.name}` of `{self.path}`: {error}", None)) from error
        if len(found) < count:
            message = f"table `{self.name}` has {len(found):,} rows; {count:,} are asked for"
            raise LmcError(Diagnostic("LM0705", message, None, help="lower `count`"))
        return found


@frozen
class Database:
    """A database file and its tables by name."""

    path: Path
    tables: dict[str, TableView]


def connect(path: Path) -> sqlite3.Connection:
    """Open a database file for reading only."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def make_store(spec: Sqlite, root: Path, folder: Path) -> Database:
    """Write the made tables of a spec to its file in `folder`, whole or not at all."""
    path = folder / Path(spec.file).name
    partial = path.with_suffix(path.suffix + ".tmp")
    partial.unlink(missing_ok=True)
    for name, table in spec.tables.items():
        if isinstance(table, People):
            rows = people(load_pools(table, root), table.seed)
            _write_table(partial, name, (table.key, *table.columns), rows)
    os.replace(partial, path)
    return open_store(spec, root, folder)


def open_store(spec: Sqlite, root: Path, folder: Path) -> Database:
    """Open the database of a spec: the made one in `folder`, or the given file below `root`.

    Raises LmcError: LM0701 for a missing file, LM0702 for one that is no database or lacks a table or column.
    """
    made = any(isinstance(table, People) for table in spec.tables.values())
    path = folder / Path(spec.file).name if made else root / spec.file
    if not path.is_file():
        raise LmcError(Diagnostic("LM0701", f"database `{path}` does not exist", None))
    tables = {
        name: TableView(
            path, name, table.key, table.columns, load_pools(table, root) if isinstance(table, People) else None
        )
        for name, table in spec.tables.items()
    }
    for name, table in spec.tables.items():
        if isinstance(table, Table):
            tables[name].rows(0)
    return Database(path, tables)


def permuted_store(table: TableView, rows: Sequence[Row], seed: int, path: Path) -> Database:
    """Write a database whose `rows` have their values permuted between them, each column by its own rotation.

    A column's values move to other rows, so a model that reads answers with the new values and one that remembers
    does not. Rows that share a value may keep it.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    moved: list[Row] = [{table.key: row[table.key]} for row in rows]
    for number, column in enumerate(table.columns):
        shift = 1 + number % max(1, len(rows) - 1)
        for at, target in enumerate(order):
            moved[target][column] = rows[order[(at + shift) % len(rows)]][column]
    path.unlink(missing_ok=True)
    _write_table(path, table.name, (table.key, *table.columns), iter(moved))
    view = TableView(path, table.name, table.key, table.columns)
    return Database(path, {table.name: view})


def _write_table(path: Path, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    declared = ", ".join(f"{_quote(c)} TEXT{' PRIMARY KEY' if i == 0 else ''}" for i, c in enumerate(columns))
    marks = ", ".join("?" for _ in columns)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute(f"CREATE TABLE {_quote(name)} ({declared})")
            connection.executemany(f"INSERT INTO {_quote(name)} VALUES ({marks})", _tuples(rows, columns))


def _tuples(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(row[column] for column in columns) for row in rows)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
