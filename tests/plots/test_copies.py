"""Copies of figures: which are made, and which names a plot may give them."""

from pathlib import Path

import pytest
from support.planned import plan_of

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.plots.copies import put_copies

TEXT = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 10, batch = 2 }
plot curve : line { from = base, x = step, y = loss.train, file = "FILE" }
"""


@pytest.fixture
def figures(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "figure.svg", tmp_path / "figure.png"]
    for path in found:
        path.write_text(path.name)
    return found


def test_a_copy_is_of_the_kind_that_its_name_says(tmp_path: Path, figures: list[Path]) -> None:
    for file, kinds in (("a/x.svg", ["svg"]), ("b/x.png", ["png"]), ("c/x", ["svg", "png"]), (None, [])):
        placed = put_copies(None if file is None else str(tmp_path / file), figures)
        assert [path.suffix[1:] for path in placed] == kinds
        assert all(path.read_text() == f"figure{path.suffix}" for path in placed)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["x.svg"]


def test_a_copy_that_is_as_it_should_be_is_left_alone(tmp_path: Path, figures: list[Path]) -> None:
    (copy,) = put_copies(str(tmp_path / "x.svg"), figures)
    before = copy.stat().st_mtime_ns
    assert put_copies(str(copy), figures) == [copy]
    assert copy.stat().st_mtime_ns == before
    copy.write_text("another")
    put_copies(str(copy), figures)
    assert copy.read_text() == "figure.svg"


@pytest.mark.parametrize("file", ["out/new.pdf", "out/v1.2", "", "out/", "out/.svg", "out/x.SVG", ".."])
def test_a_file_that_no_figure_is_written_as_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / "case.lmspec").write_text(TEXT.replace("FILE", file), encoding="utf-8")
    found = compile_spec(tmp_path / "case.lmspec").diagnostics.items
    assert [(item.code, item.span and item.span.text) for item in found] == [("LM0303", f'"{file}"')]


@pytest.mark.parametrize("file", ["x.svg", "out/v1.2.png", "/tmp/x", "../out.d/x"])
def test_a_file_that_figures_are_written_as_is_taken(file: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TEXT.replace("FILE", file))
    assert [node.spec.file for node in plan.nodes.values() if hasattr(node.spec, "file")] == [file]
