"""Full text over a table."""

from pathlib import Path

import pytest
from attrs import evolve, frozen
from support.databases import CALL, make_duckdb, only_people

from lmc.runtime.stores.base import Database, Source, TableView
from lmc.runtime.stores.duckdb import DuckdbFile
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.search import MOST_WORDS, SearchTool, search_tool
from lmc.spec.diagnostic import LmcError
from lmc.spec.protocol import SearchProtocol
from lmc.spec.units import Size

ARTICLES = [
    ("Ada Lovelace", "wrote the first program for the analytical engine", "mathematics"),
    ("Alan Turing", "broke codes and asked whether machines think", "mathematics"),
    ("Grace Hopper", "wrote the first compiler", "programs"),
    ("Zoë Café", "bakes bread; AND OR NOT NEAR", "baking"),
    ("Nul", None, None),
]
SPEC = SearchProtocol(call=CALL, table="s/articles", query=":q")


@frozen
class Listed:
    """A source that is a list."""

    place: str = "a list"

    def read(self, table: str, key: str, columns: tuple[str, ...], count: int | None) -> list[tuple[str | None, ...]]:
        return ARTICLES[:count]


SOURCE: Source = Listed()  # type: ignore[assignment]
DATABASE = Database(SOURCE, {"articles": TableView(SOURCE, "articles", "title", ("text", "field"))})


def found(query: str, **fields: object) -> list[str]:
    answer = search_tool(evolve(SPEC, **fields), DATABASE).call({"q": query.encode()})
    return [] if answer.text is None else [line.split(", ")[0] for line in answer.text.split("\n")]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("compiler", ["Grace Hopper"]),
        ("COMPILER!", ["Grace Hopper"]),
        ("first program", ["Ada Lovelace", "Grace Hopper"]),
        ("who wrote the first compiler?", ["Grace Hopper", "Ada Lovelace"]),
        ("mathematics turing", ["Alan Turing", "Ada Lovelace"]),
        ("zoe cafe", ["Zoë Café"]),
        ("ZOË", ["Zoë Café"]),
        ("nobody", []),
        ("compil", []),
    ],
)
def test_rows_with_the_words_come_best_first(query: str, titles: list[str]) -> None:
    assert found(query) == titles


@pytest.mark.parametrize(
    "query",
    [
        "NOT first",
        "first AND",
        "first NEAR(compiler, 2)",
        "text : first",
        "{text title} : first",
        "- text : first",
        "^first",
        "first*",
        '"first',
        'first"',
        "first) OR (title : x",
        "first + compiler",
        "first'; DROP TABLE found; --",
        "first\0compiler",
        "first OR " * 2000,
        "(" * 5000 + "first",
        " ".join(f"w{n}" for n in range(MOST_WORDS - 1)) + " first",
    ],
    ids=lambda query: repr(query[:20]),
)
def test_nothing_in_a_query_is_syntax(query: str) -> None:
    assert {"Ada Lovelace", "Grace Hopper"} <= set(found(query, limit=5))
    assert found(query, limit=5) == found(query, limit=5)


def test_words_of_the_syntax_are_words() -> None:
    assert found("near") == found("NOT OR") == ["Zoë Café"]
    assert found("AND")[0] == "Zoë Café"


@pytest.mark.parametrize("query", ["", " ", "---", "_", "\0", '""', "\ufffd"])
def test_no_words_find_nothing(query: str) -> None:
    assert search_tool(SPEC, DATABASE).call({"q": query.encode()}).outcome == "empty"


def test_columns_are_searched_and_told_in_order() -> None:
    tool = search_tool(evolve(SPEC, columns=("field", "title")), DATABASE)
    assert tool.call({"q": b"turing"}).text == "mathematics, Alan Turing"
    assert tool.call({"q": b"machines"}).outcome == "empty"
    tool.close()


def test_limits_of_rows_and_bytes_hold() -> None:
    assert len(found("wrote first mathematics", limit=2)) == 2
    short = evolve(SPEC, max_bytes=Size(7))
    with ToolExecutor([short], [search_tool(short, DATABASE)]) as executor:
        assert executor.submit(0, {"q": b"turing"}, 0).result().text == "Alan Tu"


def test_a_query_may_have_words_of_its_own() -> None:
    tool = search_tool(evolve(SPEC, query="compiler :q"), DATABASE)
    assert str(tool.call({"q": b"engine"}).text).count("\n") == 1


def test_a_column_that_is_not_there_is_told() -> None:
    with pytest.raises(LmcError, match="no column `salary`") as caught:
        search_tool(evolve(SPEC, columns=("salary",)), DATABASE)
    assert caught.value.diagnostic.code == "LM0702"


def test_searches_run_at_once_over_any_store(tmp_path: Path) -> None:
    make_duckdb(tmp_path / "a.duckdb")
    before = (tmp_path / "a.duckdb").read_bytes()
    spec = evolve(SPEC, table="s/people")
    tool: SearchTool = search_tool(spec, only_people(DuckdbFile(tmp_path / "a.duckdb")))
    with ToolExecutor([spec], [tool]) as executor:
        futures = [executor.submit(0, {"q": f"person{n}".encode()}, 0) for n in range(50)]
        assert [future.result().text for future in futures] == [f"Person{n}, City{n % 7}, {n}" for n in range(50)]
    assert (tmp_path / "a.duckdb").read_bytes() == before
