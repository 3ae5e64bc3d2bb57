"""Evaluations of a part of the data that holds nothing: told by the compiler, or by the run, and never a NaN."""

import json
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.spec.diagnostic import Diagnostic

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data other : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data both : mixture { tokenizer = bytes, seq_len = 16, part a { data = book }, part b { data = other } }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 2, batch = 2, every.eval = 1 }
train wide : base { steps = 3 }
eval val : loss { run = base, examples = 4 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(folder: Path, *edits: tuple[str, str]) -> list[Diagnostic]:
    text = SPEC
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    return compile_spec(folder / "case.lmspec").diagnostics.items


NO_VALID = ("seq_len = 16 }", "seq_len = 16, split { train = 1, valid = 0 } }")
NO_TRAIN = ("seq_len = 16 }", "seq_len = 16, split { train = 0, valid = 1 } }")
DERIVED = ("steps = 3 }", "steps = 3, data.split.valid = 0.0 }")
ON_OTHER = ("data = book, steps", "data = other, steps")
ON_BOTH = ("data = book, steps", "data = both, steps")
OF_BOOK = ("{ run = base, ex", "{ run = base, data = book, ex")
OF_OTHER = ("{ run = base, ex", "{ run = base, data = other, ex")
OF_TRAIN = ("examples = 4", 'split = "train"')


@pytest.mark.parametrize(
    ("edits", "line"),
    [
        ([NO_VALID], "data book"),
        ([DERIVED], "train wide"),
        ([ON_OTHER, OF_BOOK, NO_VALID], "data book"),
        ([OF_TRAIN, NO_TRAIN], "data book"),
        ([NO_VALID, NO_VALID, ON_BOTH], "train base"),
    ],
    ids=["the run's own", "of a derived run", "the evaluation's own", "the other part", "all parts of a mixture"],
)
def test_a_part_without_a_share_is_told_by_the_compiler(edits: list[tuple[str, str]], line: str, folder: Path) -> None:
    (told,) = {(d.code, d.message, d.span): d for d in found(folder, *edits)}.values()
    assert told.code == "LM0303"
    part = "train" if OF_TRAIN in edits else "valid"
    assert told.message == f"there is nothing to evaluate: `split.{part}` of the data is 0"
    assert told.span is not None
    assert (folder / "case.lmspec").read_text().splitlines()[told.span.line - 1].startswith(line)


def test_what_has_something_to_evaluate_is_no_mistake(folder: Path) -> None:
    for edits in ([NO_VALID, ON_BOTH], [NO_VALID, OF_TRAIN], [NO_VALID, OF_OTHER]):
        assert found(folder, *edits) == []


def test_a_share_that_is_too_small_is_told_by_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert found(folder, ("seq_len = 16 }", "seq_len = 16, split.valid = 0.005 }")) == []
    assert main(["run", "case.lmspec", "base", "--device", "cpu"]) == 3
    said = capfd.readouterr()
    assert "error[LM0705]: the `valid` part of the data has no whole example to evaluate" in said.err
    assert "looks no further: the `valid` part of the data has no whole example to evaluate" in said.out
    nodes = {node["kind"]: node for node in map(json.loads, (p.read_text() for p in Path("runs").glob("*/node.json")))}
    assert (nodes["train"]["status"], nodes["eval"]["status"]) == ("done", "failed")
