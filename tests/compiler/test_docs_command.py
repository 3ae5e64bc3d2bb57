"""`lmc docs`: words find their pages, and the written reference holds together."""

import re
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.diagnostics.codes import CODES, FAMILIES
from lmc.compiler.manual.describe import describe_kind, kinds
from lmc.compiler.manual.pages import code_page, pages
from lmc.compiler.manual.screen import WIDEST, Screen
from lmc.compiler.manual.topics import DOCS, find_topic, topics
from lmc.compiler.manual.written import FUNCTION_DOCS
from lmc.compiler.resolve.cells import spelled
from lmc.compiler.resolve.functions import FUNCTIONS
from lmc.spec.schema import REGISTRY, fields

PAGES = dict(pages())


@pytest.mark.parametrize(
    ("word", "shown", "not_shown"),
    [
        ("train", "train { }", "mixer : attention"),
        ("mixer", "mixer : gated", "init : gpt2"),
        ("mixer.attention", "kv_heads: Int", "mixer : gated"),
        ("attention", "kv_heads: Int", "mixer : gated"),
        ("mixer.attention.heads", "Number of query heads", "kv_heads"),
        ("train.batch", "Examples per optimiser step", "micro_batch"),
        ("init", "init : checkpoint", "mixer"),
        ("init", "init : mup", "mixer"),
        ("group", "lr_scale", "momentum"),
        ("plot.from", "Trains, grids or probes", "Heading"),
        ("lm0401", "heads do not divide the width", "LM0402"),
        ("grids", "`over` is a product", "## Tokenizers"),
        ("worlds", "A train defines a **world**", "## Grids"),
        ("language/data", "`source` of a `text`", "## Positions"),
        ("training", "checkpoint", "## Grids\n"),
        ("lr", "optim : adamw\n  lr: ", "beta"),
        ("kv_heads", "mixer : attention\n  kv_heads: Int", "mixer : mamba"),
        ("logspace", "logspace(start, stop, count)", "train { }"),
    ],
)
def test_a_word_finds_its_page(word: str, shown: str, not_shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", word]) == 0
    said = capsys.readouterr()
    assert shown in said.out
    assert not_shown not in said.out
    assert said.err == ""


def test_without_a_word_it_lists_what_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    said = capsys.readouterr().out
    for kind in kinds():
        assert re.search(rf"\b{describe_kind(kind).title}\b", said), kind
    assert "\033[" not in said


def test_an_unknown_word_is_a_usage_error_with_near_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "atention"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the manual has nothing on `atention`; did you mean attention ")
    assert main(["docs", "zzzz"]) == 2
    assert "`lmc docs` alone lists what there is" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [50, 80, 300])
def test_a_page_keeps_to_the_width_of_the_terminal(columns: int) -> None:
    for kind in map(describe_kind, kinds()):
        text = Screen(columns).kind(kind)
        long = [line for line in text.splitlines() if len(line) > min(columns, WIDEST)]
        assert all(" " not in line.strip() for line in long), long


def test_the_reference_has_a_page_for_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a" / "reference"
    assert main(["docs", "--write", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: {len(PAGES)} pages\n"
    written = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.md")}
    assert written == PAGES
    assert {f"codes/{code}.md" for code in CODES} < set(PAGES)
    for kind, variants in REGISTRY.items():
        for cls in variants.values() if kind != "automaton" else ():
            for name, attribute in fields(cls).items():
                if not attribute.metadata["hidden"]:
                    assert attribute.metadata["doc"].replace("|", "\\|") in PAGES[f"{kind}.md"]
                    assert f"`{attribute.metadata['repeat'] or spelled(name)}`" in PAGES[f"{kind}.md"]


def test_links_of_the_reference_lead_somewhere_and_every_page_is_reached() -> None:
    reached = {"index.md"}
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            found = (Path(page).parent / target).as_posix()
            assert found in PAGES, (page, target)
            reached.add(found)
    assert reached == set(PAGES)


def test_every_row_of_a_table_has_its_cells() -> None:
    for page, text in PAGES.items():
        rows = [line for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(widths) <= 1 or page == "values.md", page


def test_a_page_of_a_code_shows_what_is_said() -> None:
    text = code_page(CODES["LM0203"])
    assert "error[LM0203]: model variant `transformer` has no field `layer`         example.lmspec:3:48" in text
    silent = [code for code in CODES if CODES[code].examples() and f"[{code}]" not in PAGES[f"codes/{code}.md"]]
    assert silent == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["docs", "--write", str(tmp_path / "file" / "x")]) == 1
    assert "LM0804" in capsys.readouterr().err


def test_families_and_functions_are_all_told() -> None:
    assert {code[2:4] for code in CODES} == set(FAMILIES)
    assert set(FUNCTIONS) == set(FUNCTION_DOCS)


def test_topics_are_the_documents_and_their_sections() -> None:
    names = [topic.name for topic in topics()]
    assert len(names) == len(set(names))
    assert {path.stem for path in DOCS.glob("*.md")} == {name for name in names if "/" not in name}
    whole = (DOCS / "language.md").read_text("utf-8")
    sections = [topic.text for topic in topics() if topic.name.startswith("language/")]
    assert all(text in whole for text in sections)
    assert len(sections) == len(re.findall("^## ", re.sub(r"```.*?```", "", whole, flags=re.DOTALL), re.MULTILINE))
    assert find_topic("no such thing") is None
