"""Queries of an author: values are bound, splices are listed, rows are bounded, the database is only read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support.databases import CALL, as_role, make_duckdb, make_sqlite, only_people, postgres_of_people, postgres_state
from support.hostile import ENDLESS, PRODUCT, SQLITE

from lmc.runtime.stores.base import Database, Source
from lmc.runtime.stores.duckdb import DuckdbFile
from lmc.runtime.stores.postgres import PostgresServer
from lmc.runtime.stores.sqlite import SqliteFile
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.make import ToolSource, moved
from lmc.runtime.tools.search import SearchTool
from lmc.runtime.tools.sql import SqlTool, sql_tool
from lmc.spec.diagnostic import LmcError
from lmc.spec.protocol import CalculatorProtocol, PythonProtocol, SearchProtocol, SqlProtocol
from lmc.spec.units import Duration

NEEDS = {"postgres": pytest.mark.database}
BACKENDS = [pytest.param(name, marks=NEEDS.get(name, ())) for name in ("sqlite", "duckdb", "postgres")]
SPEC = SqlProtocol(
    store="s",
    call=CALL,
    query="SELECT {attribute} FROM people WHERE name = :name",
    allow={"attribute": ("city", "age", "salary")},
    timeout=Duration(0.5),
)
FIND = {"attribute": b"city", "name": b"Person9"}
Make = Callable[..., SqlTool]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, Any]:
    """A database, and what tells its state."""
    if request.param == "postgres":
        url = request.getfixturevalue("server")
        return only_people(PostgresServer(as_role(url, "reader"))), lambda: postgres_state(url)
    path = tmp_path_factory.mktemp(request.param) / "people.db"
    (make_sqlite if request.param == "sqlite" else make_duckdb)(path)
    source: Source = SqliteFile(path) if request.param == "sqlite" else DuckdbFile(path)
    return only_people(source), path.read_bytes


@pytest.fixture
def make(backend: tuple[Database, Any]) -> Iterator[Make]:
    """Makes tools with other fields than the usual ones, and closes them."""
    tools: list[SqlTool] = []

    def make(**fields: Any) -> SqlTool:
        tools.append(sql_tool(evolve(SPEC, **fields), backend[0]))
        return tools[-1]

    yield make
    for tool in tools:
        tool.close()


def test_a_query_tells_the_first_value(make: Make) -> None:
    tool = make()
    answer = tool.call(FIND)
    assert (answer.outcome, answer.text) == ("answered", "City2")
    assert "people" in answer.detail
    assert tool.call({**FIND, "attribute": b"age"}).text == "9"
    assert tool.call({**FIND, "name": b"Nobody"}).outcome == "empty"


def test_rows_and_columns_are_lines_of_values(make: Make) -> None:
    several = {"query": "SELECT name, age FROM people WHERE city = :city ORDER BY age", "allow": {}}
    assert make(**several).call({"city": b"City3"}).text == "Person3, 3"
    assert make(**several, max_rows=3).call({"city": b"City3"}).text == "Person3, 3\nPerson10, 10\nPerson17, 17"
    nothing = {"query": "SELECT NULL, NULL FROM people", "allow": {}}
    assert make(**nothing).call({}).outcome == "empty"


VALUES = [
    "x'; DROP TABLE people; --",
    "x' OR '1'='1",
    'x" OR "1"="1',
    "x' UNION SELECT a FROM secret --",
    ":name",
    "$name",
    "%(name)s",
    "{attribute}",
    "%",
    "%s",
    "\\",
    "<|eod|>",
    "'",
    "x\0y",
    "Person%",
    "\udcff",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_bound_and_never_become_sql(value: str, make: Make, backend: tuple[Database, Any]) -> None:
    before = backend[1]()
    answer = make().call({**FIND, "name": value.encode("utf-8", "surrogateescape")})
    assert answer.outcome == ("malformed" if "\0" in value else "empty")
    assert backend[1]() == before


@pytest.mark.parametrize(
    "splice", ["name", "CITY", "city; DROP TABLE people", 'city" FROM secret --', "", "*", "rowid"]
)
def test_a_splice_outside_its_list_is_malformed(splice: str, make: Make) -> None:
    assert make().call({**FIND, "attribute": splice.encode()}).outcome == "malformed"


def test_a_listed_column_that_is_not_there_is_an_error_and_no_text(make: Make) -> None:
    answer = make().call({**FIND, "attribute": b"salary"})
    assert (answer.outcome, answer.text) == ("error", None)
    assert "salary" in answer.detail


def test_signs_of_other_backends_in_a_query_are_left_alone(make: Make) -> None:
    assert make(query="SELECT '50%', :name", allow={}).call({"name": b"a"}).text == "50%, a"
    assert make(query="SELECT '50%'", allow={}).call({}).text == "50%"
    assert make(query="SELECT '12:30:05', :name", allow={}).call({"name": b"%"}).text == "12:30:05, %"
    odd = {"query": 'SELECT {c} AS x FROM (SELECT 1 AS "a%b") AS t', "allow": {"c": ("a%b",)}}
    assert make(**odd).call({"c": b"a%b"}).text == "1"


def test_a_capture_without_text_is_null_and_no_splice(make: Make) -> None:
    either = {"query": "SELECT count(*) FROM people WHERE city = :city OR :city IS NULL", "allow": {}}
    assert make(**either).call({}).text == "200"
    assert make(**either).call({"city": b"City1"}).text == "29"
    assert make().call({"name": b"Person9"}).outcome == "malformed"


@pytest.mark.parametrize("statement", [ENDLESS, PRODUCT])
def test_a_query_that_takes_long_is_ended(statement: str, make: Make) -> None:
    answer = make(query=statement, allow={}).call({})
    assert answer.outcome == "error"
    assert answer.detail.startswith("longer than 0.5 s")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO people VALUES ('a', 'b', 1)",
        "DELETE FROM people",
        "UPDATE people SET age = 0 RETURNING name",
        "DROP TABLE people",
        "CREATE TABLE t (a INTEGER)",
        "CREATE TEMP TABLE t (a INTEGER)",
        "WITH d AS (DELETE FROM people RETURNING name) SELECT * FROM d",
        "SELECT 1; DELETE FROM people",
    ],
)
def test_not_even_the_author_writes(statement: str, make: Make, backend: tuple[Database, Any]) -> None:
    before = backend[1]()
    assert make(query=statement, allow={}).call({}).outcome == "error"
    assert backend[1]() == before


BY_FUNCTION = (
    "randomblob",
    "printf",
    "zeroblob",
    "fts3_tokenizer",
    "RECURSIVE",
    "a, people b",
    "( (",
    "+ 1 + 1",
    "EXPLAIN",
)


@pytest.mark.parametrize("statement", [s for s in SQLITE if "\0" not in s and not any(w in s for w in BY_FUNCTION)])
def test_sqlite_alone_stops_what_the_first_word_would(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sqlite(tmp_path / "people.db")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "people.db").read_bytes()
    tool = sql_tool(evolve(SPEC, query=statement, allow={}), only_people(SqliteFile(tmp_path / "people.db")))
    assert tool.call({}).outcome == ("empty" if not statement or statement == "-- nothing" else "error")
    assert (tmp_path / "people.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["people.db"]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("writes", [False, True])
def test_a_file_that_vanishes_is_no_empty_answer(kind: str, writes: bool, tmp_path: Path) -> None:
    path = tmp_path / "gone.db"
    (make_sqlite if kind == "sqlite" else make_duckdb)(path)
    source: Source = SqliteFile(path) if kind == "sqlite" else DuckdbFile(path)
    spec = evolve(SPEC, query="{name}", allow={"name": "read_only"}) if writes else SPEC
    tool = sql_tool(spec, only_people(source))
    call = {"name": b"SELECT 1"} if writes else FIND
    try:
        assert tool.call(call).outcome == "answered"
        path.unlink()
        with ToolExecutor([spec], [tool]) as executor, pytest.raises(LmcError, match=r"gone\.db") as caught:
            executor.submit(0, call, 0).result()
        assert caught.value.diagnostic.code == "LM0902"
    finally:
        tool.close()


def test_a_server_that_vanishes_is_no_empty_answer() -> None:
    with postgres_of_people() as url:
        tool = sql_tool(SPEC, only_people(PostgresServer(as_role(url, "model"))))
        assert tool.call(FIND).text == "City2"
    try:
        assert tool.call(FIND).outcome == "error"
        with pytest.raises(LmcError) as caught:
            tool.call(FIND)
        assert caught.value.diagnostic.code == "LM0902"
    finally:
        tool.close()


def test_calls_run_at_once_and_answer_in_order(make: Make) -> None:
    tool = make()
    with ToolExecutor([tool.spec], [tool]) as executor:
        futures = [executor.submit(0, {**FIND, "name": f"Person{n}".encode()}, 0) for n in range(64)]
        assert [future.result().text for future in futures] == [f"City{n % 7}" for n in range(64)]


def test_a_closed_tool_opens_again(make: Make) -> None:
    tool = make()
    tool.close()
    assert tool.call(FIND).text == "City2"


def test_a_protocol_makes_its_tool(backend: tuple[Database, Any], tmp_path: Path) -> None:
    (tmp_path / f"made_{tmp_path.name}.py").write_text("def f(x): return x * 2\n")
    sums = CalculatorProtocol(call=CALL, expression=":x + 1")
    python = PythonProtocol(call=CALL, function=f"made_{tmp_path.name}:f")
    find = SearchProtocol(call=CALL, table="s/people", query=":x", columns=("city", "name"))
    specs = [sums, python, find, SPEC]
    tools = [ToolSource(spec, backend[0], tmp_path).make(["x"]) for spec in specs]
    with ToolExecutor(specs, tools) as executor:
        calls = [{"x": b"2"}, {"x": b"ab"}, {"x": b"person11"}, FIND]
        answers = [executor.submit(n, captures, 0).result() for n, captures in enumerate(calls)]
    assert [answer.text for answer in answers] == ["3", "abab", "City4, Person11", "City2"]
    assert [spec.template_field for spec in specs] == ["expression", "", "query", "query"]


def test_tools_of_one_database_move_to_another(tmp_path: Path) -> None:
    make_sqlite(tmp_path / "old.db")
    make_duckdb(tmp_path / "new.db")
    make_sqlite(tmp_path / "third.db")
    old, new, third = (
        only_people(source)
        for source in (
            SqliteFile(tmp_path / "old.db"),
            DuckdbFile(tmp_path / "new.db"),
            SqliteFile(tmp_path / "third.db"),
        )
    )
    sums = CalculatorProtocol(call=CALL, expression=":x")
    find = SearchProtocol(call=CALL, table="s/people", query=":x")
    specs = [SPEC, find, sums, SPEC]
    sources = [ToolSource(SPEC, old, tmp_path), ToolSource(find, old, tmp_path), ToolSource(sums, None, tmp_path)]
    tools = [source.make(["x"]) for source in (*sources, ToolSource(SPEC, third, tmp_path))]
    with ToolExecutor(specs, tools) as before, moved(before, old, new) as after:
        assert [tool.database for tool in after.tools if isinstance(tool, SqlTool | SearchTool)] == [new, new, third]
        assert after.tools[2:] == before.tools[2:]
        assert after.submit(0, FIND, 0).result().text == "City2"
