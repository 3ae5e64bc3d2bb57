"""The index of a run store: one SQLite file that tells what each folder holds, and follows from the folders alone.

A writer writes a node's file, then its line here, and may be killed in between. So a line is believed where nothing
can have followed it (`done`), and else checked against the node's file; which folders there are is asked of the store's
one listing. What is missing, damaged or of another version is made again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...spec.diagnostic import Diagnostic, LmcError

NODE = "node.json"
INDEX = "index.sqlite"
VERSION = 3
TRIES = 100
COLUMNS = (
    "folder TEXT PRIMARY KEY, status TEXT, name TEXT, kind TEXT, summary TEXT, source TEXT, block TEXT, time REAL, "
    "run TEXT"
)


class Entry(NamedTuple):
    """A line of the index.

    Attributes:
        folder: `<id>-<inputs>`. summary: what the finished node said of itself, as JSON.
        source: the spec file and its changes that it was last run from, as JSON. block: the block of that file.
        time: wall time of the last change. run: the id of what an evaluation or a probe looks at.
    """

    folder: str
    status: str
    name: str
    kind: str
    summary: str
    source: str
    block: str
    time: float
    run: str = ""

    @property
    def id(self) -> str:
        """The node's id."""
        return self.folder.partition("-")[0]


def entry_of(folder: str, data: dict[str, Any]) -> Entry:
    """Return the line of a node from what its file says."""
    made = data.get("made", {})
    source = json.dumps(made.get("source", {}), sort_keys=True)
    summary = json.dumps(data["summary"])
    block, moment, run = made.get("block", ""), data.get("time", 0.0), data.get("spec", {}).get("run")
    looked_at = run if isinstance(run, str) else ""
    return Entry(folder, data["status"], data["name"], data["kind"], summary, source, block, moment, looked_at)


@contextmanager
def connected(store: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to the index of a store, made if it is not there and made again if it cannot be read.

    Raises sqlite3.Error where it cannot be written.
    """
    with closing(sqlite3.connect(store / INDEX, timeout=30)) as connection:
        try:
            _prepare(connection, store)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            connection.close()
            for path in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):
                (store / path).unlink(missing_ok=True)
        else:
            yield connection
            return
    with closing(sqlite3.connect(store / INDEX, timeout=30)) as connection:
        _prepare(connection, store)
        yield connection


def entries(store: Path) -> dict[str, Entry]:
    """Return a line per node of a store, by folder; a store that is not there has none."""
    if not store.is_dir():
        return {}
    try:
        with connected(store) as connection:
            return _synced(connection, store)
    except sqlite3.OperationalError:
        found = (_read(store, folder) for folder in _listed(store))
        return {entry.folder: entry for entry in found if entry is not None}


def put(connection: sqlite3.Connection, lines: Iterable[Entry]) -> None:
    """Write lines, in the place of those that their folders have."""
    connection.executemany(f"INSERT OR REPLACE INTO nodes VALUES ({', '.join('?' * len(Entry._fields))})", lines)


def read_node(path: Path) -> dict[str, Any]:
    """Return what a node file says; nothing for a missing one. Raises LmcError (LM0702) for a damaged one."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return data
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        message = f"`{path}` is damaged"
        raise LmcError(Diagnostic("LM0702", message, None, help="remove its folder to do the node again")) from error


def _synced(connection: sqlite3.Connection, store: Path) -> dict[str, Entry]:
    known = _known(connection)
    listed = _listed(store)
    gone = known.keys() - listed
    doubtful = [folder for folder in listed if folder not in known or known[folder].status != "done"]
    if not gone and all(_read(store, folder) == known.get(folder) for folder in doubtful):
        return known
    with _writing(connection):
        connection.executemany("DELETE FROM nodes WHERE folder = ?", [(folder,) for folder in gone])
        put(connection, filter(None, (_read(store, folder) for folder in doubtful)))
        return _known(connection)


def _known(connection: sqlite3.Connection) -> dict[str, Entry]:
    return {row[0]: Entry._make(row) for row in connection.execute("SELECT * FROM nodes")}


def _listed(store: Path) -> set[str]:
    """Return what in a store may be the folder of a node, by name alone."""
    return {name for name in os.listdir(store) if "-" in name and not name.startswith((".", INDEX))}


def _read(store: Path, folder: str) -> Entry | None:
    """Return what a folder's node file says; None without one, or where it is damaged."""
    try:
        data = read_node(store / folder / NODE)
        return entry_of(folder, data) if data else None
    except (LmcError, KeyError, TypeError, AttributeError):
        return None


def _prepare(connection: sqlite3.Connection, store: Path) -> None:
    """Make the index what it must be, once: its mode cannot be changed while another process has it open."""
    for left in reversed(range(TRIES)):
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            if _version(connection) != VERSION:
                _remake(connection, store)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not left:
                raise
            time.sleep(0.1)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _remake(connection: sqlite3.Connection, store: Path) -> None:
    with _writing(connection):
        if _version(connection) == VERSION:
            return
        connection.execute("DROP TABLE IF EXISTS nodes")
        connection.execute(f"CREATE TABLE nodes ({COLUMNS})")
        put(connection, filter(None, (_read(store, folder) for folder in _listed(store))))
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Keep other writers out, so that no line is overtaken by what its folder said before."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield
