"""Diagnostics come in the order of files and places, in every format, and each mistake once."""

import json
import re
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.spec.diagnostic import Diagnostic, Diagnostics
from lmc.spec.span import Source, Span

BASE = """tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, mixer : attention { } }
"""
"""Two mistakes: `width` and `heads` are missing, found from inside out."""
MAIN = """import "base.lmspec" as base
train last { model = base.small, data = base.book, steps = 0, batch = 0 }
train first : lst { steps = 100 }
modle other : transformer { }
"""
PLACES = [
    ("main.lmspec", 2, 60),
    ("main.lmspec", 2, 71),
    ("main.lmspec", 3, 15),
    ("main.lmspec", 4, 1),
    ("base.lmspec", 3, 7),
    ("base.lmspec", 3, 60),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.lmspec").write_text(BASE, encoding="utf-8")
    Path("main.lmspec").write_text(MAIN, encoding="utf-8")


def test_text_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "main.lmspec"]) == 1
    said = capsys.readouterr().err
    assert [
        (path, int(line), int(column)) for path, line, column in re.findall(r"(\w+\.lmspec):(\d+):(\d+)$", said, re.M)
    ] == PLACES


def test_json_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "main.lmspec", "--format", "json"]) == 1
    found = [told["span"] for told in json.loads(capsys.readouterr().out)]
    assert [(s["path"], s["start"]["line"], s["start"]["column"]) for s in found] == PLACES


def test_annotations_are_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "main.lmspec", "--format", "github"]) == 1
    found = re.findall(r"^::error file=([^,]+),line=(\d+),endLine=\d+,col=(\d+),", capsys.readouterr().out, re.M)
    assert [(path, int(line), int(column)) for path, line, column in found] == PLACES


def test_what_two_files_import_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        Path(f"{name}.lmspec").write_text(
            'import "base.lmspec" as b\ntrain t { model = b.small, data = b.book, steps = 1, batch = 1 }\n', "utf-8"
        )
    assert main(["check", "one.lmspec", "two.lmspec", "--format", "json"]) == 1
    assert [told["message"] for told in json.loads(capsys.readouterr().out)] == [
        "model `small` needs `width`",
        "`mixer` needs `heads`",
    ]


def test_what_was_found_first_at_a_place_stays_first() -> None:
    source, other = Source("a", "text\n"), Source("b", "text\n")
    places = [Span(other, 0, 1), Span(source, 2, 3), None, Span(source, 2, 4), Span(source, 0, 1)]
    found = Diagnostics([Diagnostic("LM0203", str(number), span) for number, span in enumerate(places)])
    found.items.insert(0, Diagnostic("LM0109", "more", Span(source, 0, 1)))
    found.sort(["a"])
    assert [told.message for told in found.items] == ["2", "4", "1", "3", "0", "more"]
