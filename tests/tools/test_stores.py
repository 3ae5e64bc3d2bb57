"""Stores of every backend: made or given, read alike, copied with permuted values."""

import sys
from pathlib import Path

import pytest
from attrs import evolve
from support.databases import CALL, SECRET, as_role, make_duckdb, make_sqlite, only_people

from lmc.runtime.inputs import files_of, is_made
from lmc.runtime.stores.base import Database, Source, TableView
from lmc.runtime.stores.duckdb import DuckdbFile
from lmc.runtime.stores.open import make_store, open_store
from lmc.runtime.stores.permuted import permuted_store
from lmc.runtime.stores.postgres import PostgresServer
from lmc.runtime.stores.sqlite import SqliteFile
from lmc.runtime.stores.values import plain, quote
from lmc.runtime.tools.sql import sql_tool
from lmc.spec.diagnostic import LmcError
from lmc.spec.protocol import SqlProtocol
from lmc.spec.store import Duckdb, People, Postgres, Sqlite, Table
from lmc.spec.units import Env, FilePath

FILES = {"sqlite": (Sqlite, make_sqlite, SqliteFile), "duckdb": (Duckdb, make_duckdb, DuckdbFile)}
TABLE = Table(columns=("city", "age"))


def code_of(error: pytest.ExceptionInfo[LmcError]) -> str:
    return error.value.diagnostic.code


def pools(folder: Path) -> People:
    for name, entries in {"first_names": "ABCDEFGH", "last_names": "STUVWXYZ"}.items():
        (folder / f"{name}.txt").write_text("\n".join(entries) + "\n")
    return People(first_names=FilePath("first_names.txt"), last_names=FilePath("last_names.txt"))


@pytest.mark.parametrize("name", FILES)
def test_a_given_file_is_read_in_the_order_in_which_it_was_written(name: str, tmp_path: Path) -> None:
    spec, make, _ = FILES[name]
    make(tmp_path / "a.db")
    before = (tmp_path / "a.db").read_bytes()
    store = spec(file=FilePath("a.db"), tables={"people": TABLE})
    database = open_store(store, tmp_path, tmp_path / "elsewhere")
    assert database.path == tmp_path / "a.db"
    assert database.tables["people"].rows(3)[2] == {"name": "Person2", "city": "City2", "age": "2"}
    assert len(database.tables["people"].rows(None)) == 200
    assert (tmp_path / "a.db").read_bytes() == before
    assert not is_made(store)
    assert files_of(store, tmp_path) == [tmp_path / "a.db"]


@pytest.mark.database
def test_a_server_is_read_in_the_order_of_keys(server: str) -> None:
    spec = Postgres(url=as_role(server, "model"), tables={"people": TABLE, "grown": Table(columns=("city",))})
    database = open_store(spec, Path("/nowhere"), Path("/nowhere"))
    rows = database.tables["people"].rows(3)
    assert [row["name"] for row in rows] == ["Person0", "Person1", "Person10"]
    assert rows[2] == {"name": "Person10", "city": "City3", "age": "10"}
    assert len(database.tables["grown"].rows(None)) == 182
    assert files_of(spec, Path("/nowhere")) == []
    named = open_store(
        Postgres(url=as_role(server, "model"), schema="public", tables={"people": TABLE}), Path(), Path()
    )
    assert named.tables["people"].rows(3) == rows
    with pytest.raises(AttributeError):
        _ = database.path


@pytest.mark.parametrize("name", FILES)
def test_made_tables_are_the_same_in_every_backend(name: str, tmp_path: Path) -> None:
    spec = FILES[name][0](file=FilePath("deep/in/made.db"), tables={"people": pools(tmp_path)})
    made = make_store(spec, tmp_path, tmp_path)
    assert made.path == tmp_path / "made.db"
    assert is_made(spec)
    rows = made.tables["people"].rows(64)
    again = open_store(spec, tmp_path, tmp_path).tables["people"]
    assert again.rows(64) == rows
    assert len({row["name"] for row in rows}) == 64
    assert again.pools is not None
    sqlite = Sqlite(file=FilePath("other.db"), tables=spec.tables)
    assert make_store(sqlite, tmp_path, tmp_path).tables["people"].rows(64) == rows
    assert not [path.name for path in tmp_path.iterdir() if "tmp" in path.name or "wal" in path.name]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("table", "code", "words"),
    [
        (Table(columns=("salary",)), "LM0702", "salary"),
        (Table(key="nick", columns=()), "LM0702", "nick"),
    ],
)
def test_a_column_that_is_not_there_is_told(name: str, table: Table, code: str, words: str, tmp_path: Path) -> None:
    spec, make, _ = FILES[name]
    make(tmp_path / "a.db")
    with pytest.raises(LmcError, match=words) as caught:
        open_store(spec(file=FilePath("a.db"), tables={"people": table}), tmp_path, tmp_path)
    assert code_of(caught) == code


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_damaged_file_is_told(name: str, tmp_path: Path) -> None:
    spec, make, source = FILES[name]
    with pytest.raises(LmcError) as caught:
        open_store(spec(file=FilePath("a.db"), tables={"people": TABLE}), tmp_path, tmp_path)
    assert code_of(caught) == "LM0701"
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    with pytest.raises(LmcError) as caught:
        open_store(spec(file=FilePath("a.db"), tables={"people": TABLE}), tmp_path, tmp_path)
    assert code_of(caught) == "LM0702"
    make(tmp_path / "b.db")
    with pytest.raises(LmcError, match="200 rows; 201") as caught:
        only_people(source(tmp_path / "b.db")).tables["people"].rows(201)
    assert code_of(caught) == "LM0705"


def test_names_of_files_and_columns_may_be_odd(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "a b?mode=rwc#%41.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "o`d""d" ("na`me" TEXT, "va""l" BLOB)')
        connection.execute('INSERT INTO "o`d""d" VALUES (?, ?)', ("x", b"caf\xc3\xa9"))
    connection.close()
    source = SqliteFile(path)
    assert TableView(source, 'o`d"d', "na`me", ('va"l',)).rows(1) == [{"na`me": "x", 'va"l': "café"}]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_values_are_written_as_a_reader_would() -> None:
    from datetime import date
    from decimal import Decimal

    shown = [plain(v) for v in (None, True, False, 3, 2.5, Decimal("1.10"), date(2020, 1, 2), b"\xff", "x", [1, "a"])]
    assert shown == [None, "true", "false", "3", "2.5", "1.10", "2020-01-02", "\ufffd", "x", "[1, 'a']"]
    assert quote('a"b') == '"a""b"'
    assert quote("a`b", "`") == "`a``b`"


@pytest.mark.parametrize("name", FILES)
def test_permuted_values_move_to_other_rows(name: str, tmp_path: Path) -> None:
    tables = {"people": pools(tmp_path), "others": evolve(pools(tmp_path), seed=7)}
    database = make_store(FILES[name][0](file=FilePath("made.db"), tables=tables), tmp_path, tmp_path)
    rows = database.tables["people"].rows(20)
    copy = permuted_store(database, "people", rows, 0, tmp_path / "p.db")
    assert copy is not None
    moved = copy.tables["people"].rows(20)
    assert [row["name"] for row in moved] == [row["name"] for row in rows]
    for column in ("birth_date", "birth_place", "current_address", "occupation"):
        assert sorted(r[column] for r in moved) == sorted(r[column] for r in rows)
    assert all(a["birth_date"] != b["birth_date"] for a, b in zip(rows, moved, strict=True))
    assert copy.tables["others"].rows(None) == database.tables["others"].rows(64) != database.tables["people"].rows(64)
    assert permuted_store(database, "people", rows, 0, tmp_path / "p.db") == copy
    assert copy.tables["people"].rows(20) == moved


@pytest.mark.parametrize("name", FILES)
def test_a_given_store_is_copied_with_all_that_it_holds(name: str, tmp_path: Path) -> None:
    _, make, kind = FILES[name]
    make(tmp_path / "a.db")
    source: Source = kind(tmp_path / "a.db")
    tables = {**only_people(source).tables, "secret": TableView(source, "secret", "a", ())}
    rows = tables["people"].rows(30)
    before = (tmp_path / "a.db").read_bytes()
    copy = permuted_store(Database(source, tables), "people", rows, 3, tmp_path / "copy.db")
    assert copy is not None
    moved = copy.tables["people"].rows(None)
    assert [r["name"] for r in moved] == [f"Person{n}" for n in range(200)]
    assert moved[30:] == tables["people"].rows(None)[30:]
    assert all(a["age"] != b["age"] for a, b in zip(rows, moved[:30], strict=True))
    assert sorted(r["age"] for r in moved[:30]) == sorted(r["age"] for r in rows)
    assert copy.tables["secret"].rows(1) == [{"a": SECRET}]
    assert (tmp_path / "a.db").read_bytes() == before
    query = SqlProtocol(store="s", call=CALL, query="SELECT count(*) FROM people WHERE age < 30 AND age >= 0")
    tool = sql_tool(query, copy)
    assert tool.call({}).text == "30"
    tool.close()


@pytest.mark.database
def test_no_copy_of_a_server_is_made(server: str, tmp_path: Path) -> None:
    database = only_people(PostgresServer(as_role(server, "model")))
    rows = database.tables["people"].rows(5)
    assert permuted_store(database, "people", rows, 0, tmp_path / "p.db") is None
    assert list(tmp_path.iterdir()) == []


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LMC_TEST_URL", raising=False)
    spec = Postgres(url=Env("LMC_TEST_URL"), tables={"people": TABLE})
    with pytest.raises(LmcError, match="`LMC_TEST_URL` is not set") as caught:
        open_store(spec, Path(), Path())
    assert code_of(caught) == "LM0711"
    monkeypatch.setenv("LMC_TEST_URL", "postgresql://u:letmein@127.0.0.1:1/db")
    with pytest.raises(LmcError, match="cannot be reached") as caught:
        open_store(spec, Path(), Path())
    assert code_of(caught) == "LM0711"
    assert "u:***@127.0.0.1:1/db" in caught.value.diagnostic.message
    assert "letmein" not in caught.value.diagnostic.message


@pytest.mark.parametrize("url", ["no url", "mysql://u@h/db", "sqlite:///x.db", ""])
def test_a_url_of_something_else_is_told(url: str) -> None:
    with pytest.raises(LmcError) as caught:
        open_store(Postgres(url=url, tables={"people": TABLE}), Path(), Path())
    assert code_of(caught) == "LM0711"


@pytest.mark.database
def test_a_table_that_a_role_may_not_read_is_told(server: str) -> None:
    for table, words in (("secret", "permission denied"), ("absent", "does not exist")):
        spec = Postgres(url=as_role(server, "model"), tables={table: Table(key="a", columns=())})
        with pytest.raises(LmcError, match=words) as caught:
            open_store(spec, Path(), Path())
        assert code_of(caught) == "LM0702"


@pytest.mark.parametrize(
    ("module", "name"), [("duckdb", "duckdb"), ("sqlalchemy", "postgres"), ("psycopg", "postgres")]
)
def test_a_library_that_is_not_installed_is_named(
    module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_duckdb(tmp_path / "a.db")
    monkeypatch.setitem(sys.modules, module, None)
    spec = (
        Duckdb(file=FilePath("a.db"), tables={"people": TABLE})
        if name == "duckdb"
        else Postgres(url="postgresql://u@127.0.0.1:1/db", tables={"people": TABLE})
    )
    with pytest.raises(LmcError, match=f"`{module}`") as caught:
        open_store(spec, tmp_path, tmp_path)
    assert code_of(caught) == "LM0709"
    assert caught.value.diagnostic.help == "install the extra `sql` of lmc: pip install -e '.[sql]' in its folder"
