"""What only opening tells: digests of vocabularies and of tables, and runs that are refused for others."""

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from support.databases import as_role, make_duckdb, make_sqlite, postgres_of_people

from lmc.compiler.cli import main
from lmc.runtime.lock.opened import opened
from lmc.spec.lock import Input
from lmc.spec.store import Duckdb, Postgres, Sqlite, Table
from lmc.spec.tokenizer import TiktokenTokenizer
from lmc.spec.units import Env, FilePath

SPEC = """
tokenizer words : bpe { size = 280, source = file("book.txt"), specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = words, seq_len = 16 }
model small : transformer { tokenizer = words, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 1, batch = 2 }
"""
TABLES = {"people": Table(columns=("city", "age"))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("a tale of two cities, told once more. " * 40)
    (tmp_path / "case.lmspec").write_text(SPEC)
    return tmp_path


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_the_vocabulary_that_a_run_will_train_is_locked(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "case.lmspec"]) == 0
    line = (folder / "case.lock").read_text().splitlines()[-1]
    kind, value, name = line.split(" ", 2)
    assert (kind, name) == ("vocabulary", "bpe/280/cl100k/book.txt")
    run = ["run", "case.lmspec", "--device", "cpu", "--jobs", "1"]
    assert main(run) == 0
    (trained,) = (folder / "runs").glob("*/vocabulary.tiktoken")
    assert value == sha256(trained.read_bytes())

    (folder / "case.lock").write_text((folder / "case.lock").read_text().replace(value, sha256(b"another")))
    capfd.readouterr()
    assert main([*run, "--set", "base.steps = 2"]) == 3
    told = capfd.readouterr().err
    said = f"is now {value[7:19]}, and the lock says {sha256(b'another')[7:19]}"
    assert f"error[LM0718]: vocabulary `{name}` {said}" in told
    assert "case.lock:3:19" in told
    assert main([*run, "--set", "base.steps = 2", "--relock"]) == 0


def test_a_published_encoding_is_known_by_its_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = {bytes((i,)): i for i in range(256)} | {b"ab": 260, b"abc": 258}
    made = tiktoken.Encoding("small", pat_str=r"\w+|\W", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 300})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "gpt2", made)
    ordered = sorted((rank, token) for token, rank in ranks.items())
    text = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in ordered)
    for specials in ((), ("<|endoftext|>", "<|user|>")):
        found = opened(TiktokenTokenizer(encoding="gpt2", specials=specials), Path())
        assert found == {Input("vocabulary", "tiktoken/gpt2"): sha256(text)}


def change_sqlite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def change_duckdb(path: Path, statement: str) -> None:
    with closing(pytest.importorskip("duckdb").connect(str(path))) as connection:
        connection.execute(statement)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_of_people() as url:
        yield url


Backend = tuple[Any, str, bytes, Callable[[str], None]]


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def backend(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A store, what its table is called, the text of its columns, and what changes it."""
    if request.param == "sqlite":
        make_sqlite(folder / "p.db")
        spec: Any = Sqlite(file=FilePath("p.db"), tables=TABLES)
        columns = b"age\tINTEGER\ncity\tTEXT\nname\tTEXT\n"
        return spec, "p.db/people", columns, lambda statement: change_sqlite(folder / "p.db", statement)
    if request.param == "duckdb":
        pytest.importorskip("duckdb")
        make_duckdb(folder / "p.duckdb")
        spec = Duckdb(file=FilePath("p.duckdb"), tables=TABLES)
        columns = b"age\tINTEGER\ncity\tVARCHAR\nname\tVARCHAR\n"
        return spec, "p.duckdb/people", columns, lambda statement: change_duckdb(folder / "p.duckdb", statement)
    psycopg = pytest.importorskip("psycopg")
    url = request.getfixturevalue("server")
    monkeypatch.setenv("PEOPLE_URL", as_role(url, "reader"))

    def change(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    columns = b"age\tinteger\ncity\ttext\nname\ttext\n"
    return Postgres(url=Env("PEOPLE_URL"), tables=TABLES), "env:PEOPLE_URL/people", columns, change


def test_a_table_is_known_by_its_columns_and_types(backend: Backend, folder: Path) -> None:
    spec, name, columns, change = backend
    item = Input("schema", name)
    assert opened(spec, folder) == {item: sha256(columns)}
    change("INSERT INTO people VALUES ('Ada', 'London', 36)")
    assert opened(spec, folder) == {item: sha256(columns)}
    change("ALTER TABLE people ADD COLUMN height INTEGER")
    kind = columns.split(b"\n")[0].split(b"\t")[1]
    assert opened(spec, folder) == {item: sha256(columns.replace(b"name\t", b"height\t" + kind + b"\nname\t"))}
    change("ALTER TABLE people DROP COLUMN height")
    change("DELETE FROM people WHERE name = 'Ada'")
    assert opened(spec, folder) == {item: sha256(columns)}


def test_a_server_by_its_address_is_named_without_a_password(server: str, folder: Path) -> None:
    url = server.replace("postgres@", "postgres:hidden@")
    (item,) = opened(Postgres(url=url, schema="public", tables=TABLES), folder)
    assert item.name == f"{url.replace('hidden', '***')}/public.people"


DIALOGUES = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
store known : postgres { url = env("PEOPLE_URL"), table people { columns = ["city", "age"] } }
data asked : dialogues { tokenizer = bytes, rows = known.people, count = 20, templates = files("t.txt"), seq_len = 80 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = asked, steps = 1, batch = 2 }
"""
TEMPLATE = "<|user|>Where does {{name}} live?\n<|assistant|>{{city}}.\n<|eod|>\n<|answer|>{{city}}.\n"


def test_a_run_refuses_a_server_whose_tables_differ(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setenv("PEOPLE_URL", as_role(server, "reader"))
    (folder / "case.lmspec").write_text(DIALOGUES)
    (folder / "t.txt").write_text(TEMPLATE)
    assert main(["lock", "case.lmspec"]) == 0
    assert [line.split()[0] for line in (folder / "case.lock").read_text().splitlines()[1:]] == ["file", "schema"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(b"ALTER TABLE people ADD COLUMN height INTEGER")
        run = ["run", "case.lmspec", "--device", "cpu", "--jobs", "1"]
        try:
            capfd.readouterr()
            assert main(run) == 3
            assert "error[LM0718]: schema `env:PEOPLE_URL/people` is now " in capfd.readouterr().err
        finally:
            connection.execute(b"ALTER TABLE people DROP COLUMN height")
        assert main(run) == 0
