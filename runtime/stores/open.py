"""A spec to its database: made ones written whole or not at all, given ones opened and checked."""

from __future__ import annotations

import os
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.store import Duckdb, People, Postgres, Sqlite, Table
from ..data.people import load_pools, people
from ..inputs import is_made
from . import duckdb, sqlite
from .base import Database, Source, TableView
from .postgres import server

Store = Sqlite | Duckdb | Postgres


def make_store(spec: Sqlite | Duckdb, root: Path, folder: Path) -> Database:
    """Write the made tables of a spec to its file in `folder`, whole or not at all. Raises LmcError (LM0709)."""
    path = folder / Path(spec.file).name
    partial = path.with_suffix(path.suffix + ".tmp")
    partial.unlink(missing_ok=True)
    write = sqlite.write_table if isinstance(spec, Sqlite) else duckdb.write_table
    for name, table in spec.tables.items():
        if isinstance(table, People):
            write(partial, name, (table.key, *table.columns), people(load_pools(table, root), table.seed))
    os.replace(partial, path)
    return open_store(spec, root, folder)


def open_store(spec: Store, root: Path, folder: Path) -> Database:
    """Open the database of a spec: the made one in `folder`, the given file below `root`, or the server.

    Raises LmcError: LM0701 for a missing file, LM0702 for one that is no database or lacks a table or column, LM0709
    for a library that is not installed, LM0711 for a server that cannot be reached.
    """
    source = _source(spec, root, folder)
    tables = {
        name: TableView(
            source, name, table.key, table.columns, load_pools(table, root) if isinstance(table, People) else None
        )
        for name, table in spec.tables.items()
    }
    for name, table in spec.tables.items():
        if isinstance(table, Table):
            tables[name].rows(0)
    return Database(source, tables)


def _source(spec: Store, root: Path, folder: Path) -> Source:
    if isinstance(spec, Postgres):
        return server(spec.url, spec.schema)
    path = folder / Path(spec.file).name if is_made(spec) else root / spec.file
    if not path.is_file():
        raise LmcError(Diagnostic("LM0701", f"database `{path}` does not exist", None))
    return sqlite.SqliteFile(path) if isinstance(spec, Sqlite) else duckdb.DuckdbFile(path)
