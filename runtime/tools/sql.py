"""SQL as a tool: values are bound, splices come from an allow list, and whatever runs can only read.

A query of the author with bound values runs on SQLite in this process. Statements that a model wrote, and everything on
DuckDB and PostgreSQL, run in child processes with little memory, which are killed when they are late.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.protocol import PARAMETER, READ_ONLY, SPLICE, SqlProtocol
from ..extras import library
from ..stores.base import Database
from ..stores.duckdb import DuckdbFile
from ..stores.postgres import PostgresServer
from ..stores.sqlite import SqliteFile
from ..stores.values import quote
from .base import Answer, decoded
from .children import START_SECONDS, ChildPool, DatabaseGone
from .rows import LONGEST_STATEMENT, Refused, Rows, told
from .sqlite_gate import SqliteGate

CHILDREN = 4
"""Statements of one protocol that run at once in children."""

MIB = 2**20
MEMORY = {"sqlite": 256 * MIB, "duckdb": 384 * MIB, "postgres": 256 * MIB}
"""Bytes that a child may have on top of what it has once its database is open."""

ROLE_HELP = (
    "make a role that may only read: CREATE ROLE model LOGIN NOSUPERUSER; GRANT SELECT ON the tables TO model; and put "
    "it into the store's url"
)


class Runner(Protocol):
    """Runs statements on one database."""

    @property
    def concurrency(self) -> int:
        """How many statements run at once."""

    def run(self, text: str, values: Mapping[str, str | None], **limits: Any) -> Rows:
        """Return the first rows. Raises Refused for what is not run, LmcError (LM0902) if the database is gone."""

    def close(self) -> None:
        """Let go of processes and connections."""


@frozen
class InProcess:
    """Runs statements of an author on an SQLite file."""

    gate: SqliteGate
    concurrency: int = 16

    def run(self, text: str, values: Mapping[str, str | None], **limits: Any) -> Rows:
        """Return the first rows."""
        path = Path(self.gate.path)
        _check_file(path)
        try:
            return self.gate.run(text, values, **limits)
        except Refused:
            _check_file(path)
            raise

    def close(self) -> None:
        """Do nothing: every statement has a connection of its own."""


@frozen
class InChildren:
    """Runs statements in child processes; `path` is None for a server."""

    pool: ChildPool
    path: Path | None
    concurrency: int = CHILDREN

    def run(self, text: str, values: Mapping[str, str | None], **limits: Any) -> Rows:
        """Return the first rows."""
        _check_file(self.path)
        try:
            reply = self.pool.run({"text": text, "values": dict(values), **limits}, limits["seconds"])
        except DatabaseGone as error:
            raise LmcError(Diagnostic("LM0902", f"the database cannot be opened any more: {error}", None)) from error
        if "refused" in reply:
            _check_file(self.path)
            raise Refused(reply["refused"])
        rows: Rows = reply["rows"]
        return rows

    def close(self) -> None:
        """End the processes."""
        self.pool.close()


@frozen
class Query:
    """A template of a protocol for one backend.

    Attributes:
        hostile: whether the statement is a model's.
        bound: how the backend writes a bound value. quoted: the quotes that it takes for names alone.
    """

    template: str
    hostile: bool
    bound: str
    quoted: str = '"'

    def filled(self, values: Mapping[str, str]) -> tuple[str, dict[str, str | None]]:
        """Return the statement of a call and the values that are bound in it; a capture without text is NULL."""
        if self.hostile:
            return SPLICE.sub(lambda match: values[match.group(1)], self.template), {}
        names = PARAMETER.findall(self.template)
        doubled = self.bound.startswith("%") and bool(names)

        def escaped(text: str) -> str:
            return text.replace("%", "%%") if doubled else text

        marked = PARAMETER.sub(lambda match: self.bound.format(match.group(1)), escaped(self.template))
        text = SPLICE.sub(lambda match: escaped(quote(values[match.group(1)], self.quoted)), marked)
        return text, {name: values.get(name) for name in names}


@frozen(eq=False)
class SqlTool:
    """Answers the calls of one protocol from one database."""

    spec: SqlProtocol
    database: Database
    runner: Runner = field(repr=False)
    query: Query
    slack: float = START_SECONDS + 10.0

    @property
    def concurrency(self) -> int:
        """How many calls run at once."""
        return self.runner.concurrency

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Run the statement of a call and return its rows.

        A splice outside its allow list is `malformed`, no row and no value are `empty`, a refused, slow or failing
        statement is `error`. Raises LmcError (LM0902) if the database is gone.
        """
        values = decoded(captures)
        for name, value in values.items():
            allowed = self.spec.allow.get(name, READ_ONLY)
            if "\0" in value or (allowed != READ_ONLY and value not in allowed):
                return Answer("malformed", detail=f"`{name}` is {value!r}")
        if any(name not in values for name in SPLICE.findall(self.query.template)):
            return Answer("malformed", detail="a part of the statement is not there")
        text, bound = self.query.filled(values)
        if len(text.encode()) > LONGEST_STATEMENT and self.query.hostile:
            return Answer("error", detail=f"longer than {LONGEST_STATEMENT:,} bytes: {text[:80]}...")
        limits = {"rows": self.spec.max_rows, "limit": self.spec.max_bytes, "seconds": self.spec.timeout}
        try:
            answer = told(self.runner.run(text, bound, hostile=self.query.hostile, **limits))
        except Refused as error:
            return Answer("error", detail=f"{error}: {text}")
        return Answer("empty", detail=text) if answer is None else Answer("answered", answer, text)

    def close(self) -> None:
        """End the processes of the tool."""
        self.runner.close()


def sql_tool(spec: SqlProtocol, database: Database) -> SqlTool:
    """Return the tool of a protocol over a database.

    Raises LmcError: LM0702 for a database that cannot be opened, LM0709 for a library that is not installed, LM0712
    for a role of a server that may do more than a statement of a model should.
    """
    source, tables = database.source, sorted(database.tables)
    hostile = READ_ONLY in spec.allow.values()
    if isinstance(source, SqliteFile):
        query = Query(spec.query, hostile, ":{}", "`")
        if not hostile:
            return SqlTool(spec, database, InProcess(SqliteGate(str(source.path.absolute()), tables)), query)
        return SqlTool(spec, database, _children("sqlite", source.path, tables=tables), query)
    if isinstance(source, DuckdbFile):
        library("duckdb", "sql", "a DuckDB store")
        query = Query(spec.query, hostile, "${}")
        return SqlTool(spec, database, _children("duckdb", source.path, tables=tables), query)
    assert isinstance(source, PostgresServer)
    opened = {"conninfo": source.conninfo, "schema": source.schema, "tables": tables, "hostile": hostile}
    return SqlTool(spec, database, _children("postgres", None, **opened), Query(spec.query, hostile, "%({})s"))


def _children(backend: str, path: Path | None, **opened: Any) -> InChildren:
    file = {} if path is None else {"path": str(path.absolute())}
    try:
        pool = ChildPool({"backend": backend, "memory": MEMORY[backend], **file, **opened}, CHILDREN)
    except DatabaseGone as error:
        if error.role:
            raise LmcError(Diagnostic("LM0712", str(error), None, help=ROLE_HELP)) from error
        raise LmcError(Diagnostic("LM0702", f"the database cannot be opened: {error}", None)) from error
    return InChildren(pool, path)


def _check_file(path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise LmcError(Diagnostic("LM0902", f"the database `{path}` has vanished", None))
