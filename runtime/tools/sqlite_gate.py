"""SQLite connections that can only read the tables of a store. Light: child processes import it.

What stops what (https://www.sqlite.org/security.html): `mode=ro` and `query_only` stop writing, the authorizer stops
everything but reading listed tables (ATTACH, PRAGMA, VACUUM INTO, other tables, the schema), the progress handler
stops what takes long, the limits and the heap limit stop what takes memory. The heap limit holds for a whole process,
so it is set only in a child that does nothing else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .rows import Refused, Rows, bounded

_FUNCTIONS = (
    "abs avg ceil ceiling coalesce count cume_dist date datetime dense_rank exp first_value floor group_concat "
    "hex ifnull iif instr julianday lag last_value lead length like ln log log10 log2 lower ltrim max min mod "
    "nth_value ntile nullif percent_rank pi pow power rank replace round row_number rtrim sign sqrt strftime "
    "substr substring sum time total trim trunc typeof unicode unixepoch upper"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
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
HEAP_BYTES = 32 * 2**20
HANDLER_INTERVAL = 1000
"""Virtual instructions between two looks at the clock."""

SCHEMA_TABLES = ("sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema")


class SqliteGate:
    """Runs statements on a file, each on a connection of its own, so that they may run at once.

    `alone`: whether the process does nothing else, so that the heap of all of SQLite may be limited.
    """

    def __init__(self, path: str, tables: Collection[str], alone: bool = False) -> None:
        self.path, self.tables, self.alone = path, frozenset(map(str.lower, tables)), alone

    def run(
        self, text: str, values: Mapping[str, str | None], *, rows: int, limit: int, seconds: float, hostile: bool
    ) -> Rows:
        """Return the first rows of a statement. Raises Refused.

        A hostile one may also call only listed functions, and begins with SELECT, WITH or VALUES.
        """
        if hostile and not text.lstrip(" \t\r\n(").lower().startswith(("select", "with", "values")):
            raise Refused("a statement begins with SELECT, WITH or VALUES")
        try:
            with closing(self._connect(seconds, hostile)) as connection:
                return bounded(connection.execute(text, values), rows, limit)
        except sqlite3.OperationalError as error:
            late = str(error) == "interrupted"
            raise Refused(f"longer than {seconds:g} s" if late else str(error)) from error
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise Refused(str(error)) from error
        except MemoryError as error:
            raise Refused("out of memory") from error

    def _connect(self, seconds: float, hostile: bool) -> sqlite3.Connection:
        uri = f"file:{quote(self.path)}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
        names = connection.execute("SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view')")
        real = {*SCHEMA_TABLES, *(name for (name,) in names)}
        for limit, value in LIMITS:
            connection.setlimit(limit, value)
        for pragma in (*PRAGMAS, *([f"hard_heap_limit={HEAP_BYTES}"] if self.alone else [])):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(_Authorizer(self.tables, real, hostile))
        end = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > end, HANDLER_INTERVAL)
        return connection

    def there(self) -> bool:
        """Whether the file is there."""
        return Path(self.path).is_file()


class _Authorizer:
    """Says of each thing that a statement would do whether it may."""

    def __init__(self, tables: frozenset[str], real: Collection[str], hostile: bool) -> None:
        self.tables, self.real, self.hostile = tables, real, hostile

    def __call__(self, action: int, first: str | None, second: str | None, db: str | None, by: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._may_read(first or "", second or "", db):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (not self.hostile or (second or "").lower() in FUNCTIONS):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _may_read(self, table: str, column: str, db: str | None) -> bool:
        """Whether a table is listed; a name without database and column may be a common table expression."""
        if db == "main":
            return table.lower() in self.tables
        return db is None and not column and (table.lower() in self.tables or table.lower() not in self.real)
