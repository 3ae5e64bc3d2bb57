"""Copies of stores whose values have moved: who reads one answers with the new values, who remembers does not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from . import duckdb, sqlite
from .base import Database, Row, Source, TableView
from .duckdb import DuckdbFile
from .sqlite import SqliteFile


def permuted_store(database: Database, name: str, rows: Sequence[Row], seed: int, path: Path) -> Database | None:
    """Write a database whose `rows`, the first ones of table `name`, have their values permuted between them.

    Each column has its own rotation; rows that share a value may keep it. A given database is copied with all that
    it holds; of a made table only `rows` are written. None for a server: nothing is ever written there.
    """
    table = database.tables[name]
    moved = permuted(table, rows, seed)
    path.unlink(missing_ok=True)
    kind = type(table.source)
    if kind not in (SqliteFile, DuckdbFile):
        return None
    backend = sqlite if kind is SqliteFile else duckdb
    if table.pools is None:
        shutil.copyfile(database.path, path)
        backend.update_rows(path, name, table.columns, moved)
    else:
        for view in database.tables.values():
            rows = moved if view.name == name else view.rows(None)
            backend.write_table(path, view.name, (view.key, *view.columns), iter(rows))
    source: Source = SqliteFile(path) if kind is SqliteFile else DuckdbFile(path)
    tables = {view.name: TableView(source, view.name, view.key, view.columns) for view in database.tables.values()}
    return Database(source, tables)


def permuted(table: TableView, rows: Sequence[Row], seed: int) -> list[Row]:
    """Return rows with their values moved to others, each column by its own rotation of one shuffled order."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    moved: list[Row] = [{table.key: row[table.key]} for row in rows]
    for number, column in enumerate(table.columns):
        shift = 1 + number % max(1, len(rows) - 1)
        for at, target in enumerate(order):
            moved[target][column] = rows[order[(at + shift) % len(rows)]][column]
    return moved
