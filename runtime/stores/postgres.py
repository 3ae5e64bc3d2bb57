"""PostgreSQL databases as stores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from attrs import field, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.units import Env
from ..extras import library
from .base import unreadable
from .values import quote

CONNECT_SECONDS = 10
BATCH = 10_000
COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
"""


@frozen
class PostgresServer:
    """A database of a server, by its URL."""

    url: str = field(repr=False)
    schema: str | None = None

    @property
    def place(self) -> str:
        """The server and database, without the password."""
        return str(self._url().render_as_string(hide_password=True))

    @property
    def conninfo(self) -> str:
        """The URL as libpq reads it."""
        return str(self._url().set(drivername="postgresql").render_as_string(hide_password=False))

    def read(self, table: str, key: str, columns: Sequence[str], count: int | None) -> Iterator[Sequence[Any]]:
        """Yield key and columns of the first `count` rows, by the bytes of their keys.

        Raises LmcError: LM0702 for a table that cannot be read, LM0709 without the libraries, LM0711 for a server
        that cannot be reached.
        """
        sql = library("sqlalchemy", "sql", "a PostgreSQL store")
        order = sql.cast(sql.column(key), sql.Text).collate("C")
        listed = sql.select(*map(sql.column, (key, *columns))).select_from(sql.table(table, schema=self.schema))
        query = listed.order_by(order).limit(count)
        with closing(self._connect(sql)) as connection:
            try:
                yield from connection.execution_options(yield_per=BATCH).execute(query)
            except sql.exc.SQLAlchemyError as error:
                raise unreadable(table, self.place, error) from error

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Return each column and its type, a table's by the role's search path. Raises LmcError as `read` does."""
        sql = library("sqlalchemy", "sql", "a PostgreSQL store")
        name = quote(table) if self.schema is None else f"{quote(self.schema)}.{quote(table)}"
        with closing(self._connect(sql)) as connection:
            try:
                return [(row[0], row[1]) for row in connection.execute(sql.text(COLUMNS), {"table": name})]
            except sql.exc.SQLAlchemyError as error:
                raise unreadable(table, self.place, error) from error

    def _connect(self, sql: Any) -> Any:
        url = self._url().set(drivername="postgresql+psycopg")
        options = {"connect_timeout": CONNECT_SECONDS}
        engine = sql.create_engine(url, poolclass=sql.pool.NullPool, connect_args=options)
        try:
            return engine.connect().execution_options(postgresql_readonly=True)
        except sql.exc.SQLAlchemyError as error:
            raise unreachable(self.place, error) from error

    def _url(self) -> Any:
        sql = library("sqlalchemy", "sql", "a PostgreSQL store")
        library("psycopg", "sql", "a PostgreSQL store")
        try:
            url = sql.engine.make_url(self.url)
        except sql.exc.ArgumentError as error:
            message = "the `url` of a PostgreSQL store is postgresql://user@host:port/database"
            raise LmcError(Diagnostic("LM0711", message, None)) from error
        if url.get_backend_name() not in ("postgresql", "postgres"):
            message = f"`{url.drivername}` is no PostgreSQL; the `url` begins with postgresql://"
            raise LmcError(Diagnostic("LM0711", message, None))
        return url


def server(url: str | Env, schema: str | None) -> PostgresServer:
    """Return the server of a spec. Raises LmcError (LM0711) for a variable that is not set."""
    if isinstance(url, Env):
        value = os.environ.get(url.name)
        if not value:
            message = f'the store\'s `url` is env("{url.name}"), and `{url.name}` is not set'
            raise LmcError(Diagnostic("LM0711", message, None, help=f"export {url.name}=postgresql://..."))
        return PostgresServer(value, schema)
    return PostgresServer(url, schema)


def unreachable(place: str, error: Exception) -> LmcError:
    """Return the error for a server that does not answer."""
    reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
    return LmcError(Diagnostic("LM0711", f"`{place}` cannot be reached: {reason}", None, help="check the url"))
