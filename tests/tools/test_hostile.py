"""Statements that models write: nothing is written, nothing else is read, and everything ends."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from support.databases import (
    LIMIT,
    SECRET,
    Peak,
    Prey,
    as_role,
    file_prey,
    make_duckdb,
    make_sqlite,
    only_people,
    postgres_state,
    writes,
)
from support.hostile import DUCKDB, ENDLESS, HARMLESS, POSTGRES, SQLITE

from lmc.runtime.stores.base import Database, TableView
from lmc.runtime.stores.duckdb import DuckdbFile
from lmc.runtime.stores.postgres import PostgresServer
from lmc.runtime.stores.sqlite import SqliteFile
from lmc.runtime.tools.base import Answer
from lmc.runtime.tools.children import GRACE_SECONDS, ChildPool
from lmc.runtime.tools.sql import InChildren, SqlTool, sql_tool
from lmc.spec.diagnostic import LmcError

NEEDS = {"postgres": pytest.mark.database}
BACKENDS = [pytest.param(name, marks=NEEDS.get(name, ())) for name in ("sqlite", "duckdb", "postgres")]
HOSTILE = {"sqlite": SQLITE, "duckdb": DUCKDB, "postgres": POSTGRES}
MEMORY_MIB = {"sqlite": 96, "duckdb": 320, "postgres": 96}
"""What a child may ever have had; statements of all tests of a backend together."""


def shortened(statement: str) -> str:
    return statement if len(statement) < 60 else f"{statement[:50]}... {len(statement)} characters"


@pytest.fixture(scope="module")
def preys(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[dict[str, Prey]]:
    """Tools by backend, made when they are asked for; the role of PostgreSQL may read the secret."""
    made: dict[str, Prey] = {}

    class Preys(dict[str, Prey]):
        def __missing__(self, name: str) -> Prey:
            folder = tmp_path_factory.mktemp(name)
            if name == "postgres":
                url = request.getfixturevalue("server")
                source = PostgresServer(as_role(url, "reader"))
                prey = Prey(name, sql_tool(writes(), only_people(source)), lambda: postgres_state(url), folder)
            else:
                path = folder / "people.db"
                (make_sqlite if name == "sqlite" else make_duckdb)(path)
                prey = file_prey(name, SqliteFile(path) if name == "sqlite" else DuckdbFile(path), path)
            made[name] = self[name] = prey
            return prey

    yield Preys()
    for prey in made.values():
        prey.tool.close()


def asked(tool: SqlTool, statement: str) -> Answer:
    return tool.call({"sql": statement.encode()})


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        pytest.param(name, statement, marks=NEEDS.get(name, ()), id=f"{name}-{number}-{shortened(statement)}")
        for name, statements in HOSTILE.items()
        for number, statement in enumerate(statements)
    ],
)
def test_a_hostile_statement_does_nothing_and_ends(
    name: str, statement: str, preys: dict[str, Prey], monkeypatch: pytest.MonkeyPatch
) -> None:
    prey = preys[name]
    before, files = prey.state(), sorted(prey.folder.iterdir())
    monkeypatch.chdir(prey.folder)
    outside = list(Path("/tmp").glob("lmc-out*"))
    with Peak(lambda: prey.pids) as peak:
        began = time.monotonic()
        answer = asked(prey.tool, statement)
        took = time.monotonic() - began
    assert answer.outcome in ("error", "malformed")
    assert answer.text is None
    assert answer.detail
    assert took < LIMIT + GRACE_SECONDS + 1.0
    assert 0 < peak.most < MEMORY_MIB[name]
    assert prey.state() == before
    assert sorted(prey.folder.iterdir()) == files
    assert list(Path("/tmp").glob("lmc-out*")) == outside
    assert asked(prey.tool, "SELECT city FROM people WHERE age = 4").text == "City4"


@pytest.mark.parametrize("name", BACKENDS)
def test_there_are_enough_statements_and_a_secret_to_be_found(name: str, preys: dict[str, Prey]) -> None:
    assert len(set(HOSTILE[name])) == len(HOSTILE[name]) >= 60
    database = preys[name].tool.database
    table = TableView(database.source, "secret", "a", ())
    assert table.rows(1) == [{"a": SECRET}]
    open_to_all = Database(database.source, {**database.tables, "secret": table})
    tool = sql_tool(writes(), open_to_all)
    try:
        assert asked(tool, "SELECT a FROM secret").text == SECRET
    finally:
        tool.close()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("statement", "told"), HARMLESS, ids=[shortened(s) for s, _ in HARMLESS])
def test_a_harmless_statement_is_answered(name: str, statement: str, told: str, preys: dict[str, Prey]) -> None:
    answer = asked(preys[name].tool, statement)
    assert (answer.outcome, answer.text, answer.detail) == ("answered", told, statement)


@pytest.mark.parametrize("name", BACKENDS)
def test_only_so_many_rows_and_bytes_are_read(name: str, preys: dict[str, Prey]) -> None:
    prey = preys[name]
    tool = evolve(prey.tool, spec=evolve(prey.tool.spec, max_rows=3))
    assert asked(tool, "SELECT name FROM people ORDER BY age").text == "Person0\nPerson1\nPerson2"
    tool = evolve(prey.tool, spec=evolve(prey.tool.spec, max_bytes=20))
    text = asked(tool, "SELECT name FROM people ORDER BY age").text
    assert text is not None
    assert 20 <= len(text) < 40
    assert asked(prey.tool, "SELECT name FROM people WHERE age < 0").outcome == "empty"
    assert asked(prey.tool, "SELECT NULL").outcome == "empty"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_child_that_is_killed_is_replaced(name: str, preys: dict[str, Prey]) -> None:
    runner = preys[name].tool.runner
    assert isinstance(runner, InChildren)
    pool = ChildPool(runner.pool.config, 1)
    try:
        before = pool.processes()
        limits = {"rows": 1, "limit": 99, "hostile": True}
        endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r"
        began = time.monotonic()
        late = pool.run({"text": endless, "values": {}, "seconds": 60.0, **limits}, 0.2)
        assert time.monotonic() - began < 0.2 + GRACE_SECONDS + 1.0
        assert late == {"refused": "longer than 0.2 s"}
        after = pool.processes()
        assert len(after) == 1
        assert after != before
        fine = pool.run({"text": "SELECT 1", "values": {}, "seconds": 5.0, **limits}, 5.0)
        assert fine == {"rows": [["1"]]}
    finally:
        pool.close()
    assert pool.processes() == []


PROGRAM = """
import sys
from lmc.runtime.tools.children import Child
config = {"backend": "sqlite", "memory": 2**28, "path": sys.argv[1], "tables": ["people"]}
child = Child(config)
child.wait_until_ready()
request = {"text": sys.argv[2], "values": {}, "rows": 1, "limit": 9, "seconds": 600.0, "hostile": True}
print(child.process.pid, flush=True)
child.ask(request, 600.0)
"""


def test_children_end_with_their_parent_whatever_they_do(tmp_path: Path) -> None:
    make_sqlite(tmp_path / "people.db")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "people.db"), ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_children_know_no_secrets_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "letmein")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:letmein@h/d")
    make_sqlite(tmp_path / "people.db")
    tool = sql_tool(writes(), only_people(SqliteFile(tmp_path / "people.db")))
    assert isinstance(tool.runner, InChildren)
    (pid,) = tool.runner.pool.processes()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    tool.close()
    assert b"PATH=" in environment
    assert b"letmein" not in environment


@pytest.mark.database
def test_a_role_that_may_do_too_much_is_refused_for_statements_alone(server: str) -> None:
    database = only_people(PostgresServer(server))
    with pytest.raises(LmcError, match="`postgres` may read or run") as caught:
        sql_tool(writes(), database)
    assert caught.value.diagnostic.code == "LM0712"
    tool = sql_tool(writes(query="SELECT city FROM people WHERE name = :name", allow={}), database)
    assert tool.call({"name": b"Person8"}).text == "City1"
    tool.close()


@pytest.mark.database
def test_a_view_is_a_table_like_others(server: str) -> None:
    source = PostgresServer(as_role(server, "model"))
    count = "SELECT count(*) FROM grown"
    for name, told in (("grown", "182"), ("people", None)):
        tool = sql_tool(writes(), Database(source, {name: TableView(source, name, "name", ("city",))}))
        try:
            assert asked(tool, count).text == told
            assert asked(tool, "SELECT a FROM secret").outcome == "error"
        finally:
            tool.close()


@pytest.mark.database
def test_a_lost_connection_is_an_error_and_the_next_call_has_another(server: str) -> None:
    import psycopg

    tool = sql_tool(writes(), only_people(PostgresServer(as_role(server, "model"))))
    try:
        assert asked(tool, "SELECT count(*) FROM people").text == "200"
        with psycopg.connect(server, autocommit=True) as admin:
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'model'"
            assert admin.execute(query).fetchone() == (1,)
        assert asked(tool, "SELECT count(*) FROM people").outcome == "error"
        assert asked(tool, "SELECT count(*) FROM people").text == "200"
    finally:
        tool.close()
