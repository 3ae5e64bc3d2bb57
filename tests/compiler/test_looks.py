"""What looks at a run must fit the run and its data."""

from pathlib import Path

import pytest

from lmc.compiler.pipeline import compile_spec

TEXT = """edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 10, batch = 2 }
"""


@pytest.mark.parametrize(
    ("eval_", "marked"),
    [("eval exact : answers { run = base }", "base"), ("eval exact : answers { run = base, data = book }", "book")],
)
def test_answers_need_dialogues(eval_: str, marked: str, tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    (tmp_path / "book.txt").write_text("a book")
    path.write_text(TEXT + eval_)
    found = compile_spec(path).diagnostics.items
    assert [one.code for one in found] == ["LM0310"]
    span = found[0].span
    assert span is not None
    assert span.text == marked
