"""Databases of every backend with the same people and a secret beside them, for tests."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from lmc.runtime.stores.base import Database, Source, TableView
from lmc.runtime.tools.sql import InChildren, SqlTool, sql_tool
from lmc.spec.protocol import SqlProtocol, ToolCall
from lmc.spec.units import Duration, Pattern

CALL = ToolCall(open=Pattern("<call>"), close=Pattern("</call>"))
SECRET = "hidden-and-never-told"
COLUMNS = ("city", "age")
PEOPLE = [(f"Person{number}", f"City{number % 7}", number) for number in range(200)]
TABLES = "CREATE TABLE people (name TEXT PRIMARY KEY, city TEXT, age INTEGER); CREATE TABLE secret (a TEXT)"
LIMIT = 0.4
"""Seconds that a statement may take."""


def only_people(source: Source) -> Database:
    """The store as a spec would describe it: one of its tables."""
    return Database(source, {"people": TableView(source, "people", "name", COLUMNS)})


def writes(**fields: Any) -> SqlProtocol:
    """A protocol whose model writes the statement."""
    values = {"max_rows": 50, "timeout": Duration(LIMIT), "query": "{sql}", "allow": {"sql": "read_only"}, **fields}
    return SqlProtocol(store="s", call=CALL, **values)


def make_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", PEOPLE)
        connection.execute("INSERT INTO secret VALUES (?)", (SECRET,))


def make_duckdb(path: Path) -> None:
    import duckdb

    with closing(duckdb.connect(str(path))) as connection:
        connection.execute(TABLES)
        columns = [list(column) for column in zip(*PEOPLE, strict=True)]
        connection.execute("INSERT INTO people SELECT unnest(?), unnest(?), unnest(?)", columns)
        connection.execute("INSERT INTO secret VALUES (?)", [SECRET])
        connection.execute("CREATE MACRO leak() AS (SELECT a FROM secret)")


@frozen
class Prey:
    """A tool whose model writes statements, and how to see whether one did harm.

    Attributes:
        state: everything that must stay as it is. folder: where no file may appear.
    """

    name: str
    tool: SqlTool
    state: Callable[[], Any]
    folder: Path

    @property
    def pids(self) -> list[int]:
        assert isinstance(self.tool.runner, InChildren)
        return self.tool.runner.pool.processes()


def file_prey(name: str, source: Source, path: Path) -> Prey:
    return Prey(name, sql_tool(writes(), only_people(source)), path.read_bytes, path.parent)


class Peak:
    """Watches how much memory processes have had, in MiB, until told to stop."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.pids, self.most, self.end = pids, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end.set()
        self.thread.join()
        self._look()

    def _watch(self) -> None:
        while not self.end.wait(0.02):
            self._look()

    def _look(self) -> None:
        for pid in self.pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        self.most = max(self.most, int(line.split()[1]) / 1024)


def postgres_programs() -> Path | None:
    """The folder of a server's programs, the newest if there are several; None where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    listed = shutil.which("initdb")
    return Path(listed).resolve().parent if listed else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[str]:
    """Run a server on a free port and give the URL of its superuser; as user postgres if we are root."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    become: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="lmc-postgres-", dir="/tmp"))
    if os.getuid() == 0:
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"]
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*become, str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)

    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
    try:
        run("initdb", "-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync")
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"{options} -c shared_buffers=32MB", "start")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        with suppress(subprocess.CalledProcessError):
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


ROLES = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE ROLE model LOGIN; GRANT USAGE ON SCHEMA public TO model; GRANT SELECT ON people TO model;
CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
CREATE VIEW grown AS SELECT name, city FROM people WHERE age >= 18; GRANT SELECT ON grown TO model;
CREATE FUNCTION leak() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT a FROM secret';
CREATE FUNCTION lower(people) RETURNS text LANGUAGE sql AS 'SELECT a FROM secret';
"""


def fill_postgres(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"{TABLES}; {ROLES}".encode())
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO people VALUES (%s, %s, %s)", PEOPLE)
        connection.execute("INSERT INTO secret VALUES (%s)", (SECRET,))
        connection.execute("SELECT lo_from_bytea(4711, %s)", (SECRET.encode(),))


def postgres_state(url: str) -> list[tuple[Any, ...]]:
    """Everything that a statement could have changed: rows, relations, functions, roles, large objects, settings."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        return [
            row
            for query in (
                "SELECT md5(string_agg(t::text, '|' ORDER BY name)) FROM people t",
                "SELECT md5(string_agg(t::text, '|')) FROM secret t",
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
                "SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
                "SELECT rolname, rolsuper, rolconfig FROM pg_roles ORDER BY 1",
                "SELECT oid FROM pg_largeobject_metadata ORDER BY 1",
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            )
            for row in connection.execute(query.encode()).fetchall()
        ]


def as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{role}@")


@contextmanager
def postgres_of_people() -> Iterator[str]:
    """Run a server that holds the people and the secret, and give the URL of its superuser; skips without one."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgres_server(programs) as url:
        fill_postgres(url)
        yield url
