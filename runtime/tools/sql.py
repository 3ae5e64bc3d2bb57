"""SQL over SQLite: values are bound, splices come from an allow list, the connection can only read.

Hardening: https://www.sqlite.org/security.html and a table-level authorizer; a time limit by the progress handler.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.protocol import SqlProtocol

Outcome = Literal["answered", "empty", "malformed", "too_many", "error"]
SPLICE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
FUNCTIONS = frozenset(
    {"lower", "upper", "length", "substr", "trim", "count", "min", "max", "sum", "avg", "round", "abs", "like"}
)
LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 10_000),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 5),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 20_000),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64),
)
PRAGMAS = ("query_only=1", "trusted_schema=0", "temp_store=memory")
HANDLER_INTERVAL = 1000


@frozen
class Answer:
    """What a tool says: the text, if there is one, and what came of the call."""

    outcome: Outcome
    text: str | None = None


@frozen
class SqlTool:
    """One protocol over one database file; every call has a connection of its own, so calls may run at once."""

    spec: SqlProtocol
    path: Path
    tables: frozenset[str]

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Run the query of a call and return the first column of its first row.

        A splice outside its allow list is `malformed`, no row is `empty`, a refused, slow or failing statement is
        `error`. Raises LmcError (LM0902) if the database is gone.
        """
        values = {name: text.decode(errors="replace") for name, text in captures.items()}
        if any("\0" in value for value in values.values()):
            return Answer("malformed")
        if any(values[name] not in allowed for name, allowed in self.spec.allow.items() if name in values):
            return Answer("malformed")
        query = SPLICE.sub(lambda match: _identifier(values[match.group(1)]), self.spec.query)
        if not self.path.is_file():
            raise LmcError(Diagnostic("LM0902", f"the database `{self.path}` has vanished", None))
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(query, values).fetchone()
        except (sqlite3.Error, sqlite3.Warning, MemoryError) as error:
            if not self.path.is_file():
                raise LmcError(Diagnostic("LM0902", f"the database `{self.path}` has vanished", None)) from error
            return Answer("error")
        return Answer("empty") if row is None or row[0] is None else Answer("answered", str(row[0]))

    def _connect(self) -> sqlite3.Connection:
        uri = f"file:{self.path}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
        for limit, value in LIMITS:
            connection.setlimit(limit, value)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(self._authorize)
        end = time.monotonic() + self.spec.timeout
        connection.set_progress_handler(lambda: time.monotonic() > end, HANDLER_INTERVAL)
        return connection

    def _authorize(self, action: int, first: str | None, second: str | None, db: str | None, by: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first in self.tables and (db == "main" or (db is None and not second)):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
