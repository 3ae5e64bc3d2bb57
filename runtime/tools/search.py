"""Full text over a table as a tool: an index in memory, made once from the rows of any store."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import closing

from attrs import field, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.protocol import PARAMETER, SearchProtocol
from ..stores.base import Database
from ..stores.values import quote
from .base import Answer, decoded
from .rows import bounded, told

WORD = re.compile(r"[^\W_]+")
MOST_WORDS = 64
HANDLER_INTERVAL = 1000


@frozen(eq=False)
class SearchTool:
    """Finds the rows that have any of the words of a query, best match (BM25) first.

    Words are matched whole, without regard to case and accents; nothing in a query is syntax.
    """

    spec: SearchProtocol
    database: Database
    statement: str
    index: sqlite3.Connection = field(repr=False)
    lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Return the rows found; `empty` for none."""
        values = decoded(captures)
        text = PARAMETER.sub(lambda match: values.get(match.group(1), ""), self.spec.query)
        words = list(dict.fromkeys(WORD.findall(text)))[:MOST_WORDS]
        if not words:
            return Answer("empty", detail=f"no words in {text!r}")
        query = " OR ".join(f'"{word}"' for word in words)
        with self.lock:
            end = time.monotonic() + self.spec.timeout
            self.index.set_progress_handler(lambda: time.monotonic() > end, HANDLER_INTERVAL)
            try:
                rows = self.index.execute(self.statement, (query, self.spec.limit))
                answer = told(bounded(rows, self.spec.limit, self.spec.max_bytes))
            except sqlite3.Error as error:
                return Answer("error", detail=f"{error}: {query}")
        return Answer("empty", detail=query) if answer is None else Answer("answered", answer, query)

    def close(self) -> None:
        """Do nothing: the index goes with the tool."""


def search_tool(spec: SearchProtocol, database: Database) -> SearchTool:
    """Read the table of a protocol and index it.

    Raises LmcError: LM0702 for a table that cannot be read or has no such column, LM0903 where SQLite has no FTS5.
    """
    table = database.tables[spec.table.split("/")[1]]
    known = (table.key, *table.columns)
    columns = known if spec.columns is None else spec.columns
    missing = [column for column in columns if column not in known]
    if missing:
        message = f"table `{table.name}` has no column `{missing[0]}`"
        raise LmcError(Diagnostic("LM0702", message, None, help=f"columns are {', '.join(known)}"))
    index = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    names = [quote(f"c{number}") for number in range(len(columns))]
    try:
        index.execute(f"CREATE VIRTUAL TABLE found USING fts5({', '.join(names)}, tokenize = 'unicode61')")
    except sqlite3.Error as error:
        message = f"searching needs SQLite with FTS5: {error}"
        raise LmcError(Diagnostic("LM0903", message, None, help="use a Python whose SQLite has FTS5")) from error
    with closing(index.cursor()) as cursor:
        cursor.execute("BEGIN")
        rows = ([row[column] for column in columns] for row in table.rows(None))
        cursor.executemany(f"INSERT INTO found VALUES ({', '.join('?' for _ in columns)})", rows)
        cursor.execute("COMMIT")
    statement = f"SELECT {', '.join(names)} FROM found WHERE found MATCH ? ORDER BY rank, rowid LIMIT ?"
    return SearchTool(spec, database, statement, index)
