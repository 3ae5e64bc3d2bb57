"""PostgreSQL connections that can only read the tables of a store; they live in a child process alone.

What stops what: DECLARE CURSOR over the extended protocol takes one reading statement and nothing else; the transaction
is read-only and always rolled back, then the session is reset; `statement_timeout` stops what takes long. Of a
statement that a model wrote, functions with an effect or a view of the server are refused by name, and rows are given
out only if every relation that the transaction has locked, by whatever means it was read, belongs to the store.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import psycopg
import psycopg.sql

from .rows import Lost, Refused, Rows, bounded

_FUNCTIONS = (
    "abs acos age any_value array_agg array_length array_position array_to_string ascii asin atan atan2 avg "
    "bit_length bool bool_and bool_or btrim cardinality cast cbrt ceil ceiling char char_length character_length "
    "chr coalesce concat concat_ws corr cos cot count covar_pop covar_samp cume_dist date date_part date_trunc "
    "degrees dense_rank div every exp extract factorial first_value float4 float8 floor format generate_series "
    "greatest initcap int2 int4 int8 interval isfinite json_agg json_build_array json_build_object jsonb_agg "
    "justify_days lag last_value lcm lead least left length ln log log10 lower ltrim make_date max md5 min mod "
    "mode nth_value ntile nullif numeric octet_length overlaps overlay percent_rank percentile_cont "
    "percentile_disc pi position power radians rank regexp_count regexp_like regexp_match regexp_matches "
    "regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr replace reverse right round "
    "row_number row_to_json rtrim scale sign sin split_part sqrt starts_with stddev stddev_pop stddev_samp "
    "string_agg string_to_array string_to_table strpos substr substring sum tan text time timestamp timestamptz "
    "to_char to_date to_json to_jsonb to_number to_timestamp translate trim trim_scale trunc unnest upper var_pop "
    "var_samp varchar variance width_bucket"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
NAME = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*"
TOKEN = re.compile(
    r"(?P<space>(?:[ \t\n\r\f\v]|--[^\n\r]*)+)|(?P<string>(?:[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'))"
    rf"|(?P<quoted>\"(?:[^\"]|\"\")+\")|(?P<name>{NAME})|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<other>.)",
    re.DOTALL,
)
SETTINGS = (
    "SET standard_conforming_strings = on; SET default_transaction_read_only = on; SET row_security = on;"
    "SET max_parallel_workers_per_gather = 0; SET jit = off; SET lock_timeout = '1s'; SET work_mem = '8MB'"
)
RESET = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP;"
    "SELECT pg_catalog.pg_advisory_unlock_all();"
)
"""What DISCARD ALL does, less dropping the prepared statements that the client library counts on."""

LOCKED = (
    "SELECT relation::int8 FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation' "
    "AND relation <> 'pg_catalog.pg_locks'::regclass"
)
PARTS = (
    "WITH seen AS (SELECT oid, reltoastrelid FROM pg_catalog.pg_class WHERE oid = ANY (%(seen)s)), "
    "held AS (SELECT oid FROM seen UNION SELECT reltoastrelid FROM seen) "
    "SELECT oid::int8 FROM held UNION SELECT indexrelid::int8 FROM pg_catalog.pg_index, held WHERE indrelid = oid"
)
POWERS = (
    "SELECT current_user, bool_or(pg_catalog.pg_has_role(oid, 'MEMBER')) FROM pg_catalog.pg_roles WHERE rolsuper OR "
    "rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend')"
)
CONNECT_SECONDS = 10
TRIES, PAUSE = 3, 0.5
"""Attempts to connect, and the seconds between them: a server may be short of connections for a moment."""


class PostgresGate:
    """Runs one statement at a time on a server."""

    def __init__(self, conninfo: str, schema: str | None, tables: Collection[str], hostile: bool) -> None:
        self.conninfo, self.schema, self.tables = conninfo, schema, tuple(tables)
        self.connection = self._connect()
        if hostile:
            self._check_role()
        self.allowed = self._relations()
        names = self.connection.execute("SELECT DISTINCT proname FROM pg_catalog.pg_proc")
        self.forbidden = frozenset(name for (name,) in names) - FUNCTIONS

    def run(
        self, text: str, values: Mapping[str, str | None], *, rows: int, limit: int, seconds: float, hostile: bool
    ) -> Rows:
        """Return the first rows of one reading statement; a hostile one reads only the store's tables.

        Raises Refused, and Lost once the connection is.
        """
        if hostile:
            self._check(text)
        try:
            return self._fetch(text, values, rows, limit, seconds, hostile)
        except psycopg.errors.QueryCanceled as error:
            raise Refused(f"longer than {seconds:g} s") from error
        except (psycopg.Error, MemoryError, ValueError) as error:
            kind = Lost if self.connection.closed else Refused
            raise kind(str(error).split("\n")[0] or type(error).__name__) from error

    def _fetch(
        self, text: str, values: Mapping[str, str | None], rows: int, limit: int, seconds: float, hostile: bool
    ) -> Rows:
        with self.connection.cursor() as cursor:
            try:
                cursor.execute("BEGIN READ ONLY")
                cursor.execute(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
                cursor.execute(f"DECLARE answer NO SCROLL CURSOR FOR {text}", dict(values) or None, prepare=True)
                cursor.execute(f"FETCH FORWARD {rows} FROM answer")
                found = bounded(cursor, rows, limit)
                if hostile:
                    self._check_relations(cursor)
                return found
            finally:
                if not self.connection.closed:
                    cursor.execute("ROLLBACK")
                    self._set(cursor)

    def _check_role(self) -> None:
        row = self.connection.execute(POWERS).fetchone()
        if row is not None and row[1]:
            raise Refused(f"the role `{row[0]}` may read or run what lies outside the database")

    def _check(self, text: str) -> None:
        """Refuse functions by name. A name before a parenthesis that is no function of the server is an alias."""
        for name in called(text):
            if name in self.forbidden:
                raise Refused(f"the function `{name}` is not allowed")

    def _check_relations(self, cursor: Any) -> None:
        cursor.execute(LOCKED)
        if any(number not in self.allowed for (number,) in cursor.fetchall()):
            raise Refused(f"a statement reads {', '.join(self.tables)} and nothing else")

    def _relations(self) -> frozenset[int]:
        """Return the numbers of the store's tables, of what views and partitions they stand for, and their indexes."""
        seen: set[int] = set()
        for table in self.tables:
            with self.connection.cursor() as cursor:
                cursor.execute("BEGIN READ ONLY")
                path = (table,) if self.schema is None else (self.schema, table)
                cursor.execute(psycopg.sql.SQL("SELECT * FROM {} LIMIT 0").format(psycopg.sql.Identifier(*path)))
                cursor.execute(LOCKED)
                seen |= {number for (number,) in cursor.fetchall()}
                cursor.execute("ROLLBACK")
        parts = self.connection.execute(PARTS, {"seen": list(seen)})
        return frozenset(number for (number,) in parts) | seen

    def _connect(self) -> psycopg.Connection[Any]:
        for attempt in range(TRIES):
            try:
                connection = psycopg.connect(self.conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
                with connection.cursor() as cursor:
                    self._set(cursor)
                return connection
            except psycopg.OperationalError as error:
                if attempt == TRIES - 1:
                    raise ConnectionError(str(error).strip().split("\n")[0]) from error
                time.sleep(PAUSE)
        raise AssertionError

    def _set(self, cursor: Any) -> None:
        cursor.execute(RESET + SETTINGS)
        if self.schema is not None:
            cursor.execute(psycopg.sql.SQL("SET search_path = {}").format(psycopg.sql.Identifier(self.schema)))


def called(text: str) -> Iterator[str]:
    """Yield the names before a parenthesis. Raises Refused for spellings that hide a name or a text."""
    name = ""
    for match in TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "name":
            if token.lower() == "u" and text[match.end() : match.end() + 1] == "&":
                raise Refused("U& is not allowed")
            name = token.lower()
        elif kind == "quoted":
            name = token[1:-1].replace('""', '"')
        elif token == "(":
            if name:
                yield name
            name = ""
        elif kind == "other" and _hides(token, text[match.end() :]):
            raise Refused(f"`{token}` is not allowed here")
        elif kind != "space":
            name = ""


def _hides(token: str, after: str) -> bool:
    """Whether a character begins what this reading of SQL does not follow, or a second statement."""
    return token in "$'\"\\\0" or (token == "/" and after.startswith("*")) or (token == ";" and bool(after.strip()))
