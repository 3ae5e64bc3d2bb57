"""What the language promises of text that no run reads, and of names that a file has for fields."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lmc.compiler.pipeline import Compiled, compile_spec

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 1k, batch = 16 }
eval val : loss { run = base }
grid g { base = base, over { batch = [1, 2] } }
"""
Compile = Callable[[str], Compiled]


@pytest.fixture
def compile_(tmp_path: Path) -> Compile:
    def run(more: str) -> Compiled:
        (tmp_path / "case.lmspec").write_text(SPEC + more, encoding="utf-8")
        return compile_spec(tmp_path / "case.lmspec")

    return run


@pytest.mark.parametrize(
    ("more", "code", "at"),
    [
        ("overlay q : base { stepz = 3 }", "LM0203", "stepz"),
        ('overlay q : base { steps = "many" }', "LM0301", '"many"'),
        ("overlay q : base { model.width = 63 }", "LM0401", "2"),
        ("overlay q : g { over { batc = [1] } }", "LM0501", "batc"),
        ("overlay q : g { base.stepz = 1 }", "LM0203", "stepz"),
        ("overlay q : val { splt = 1 }", "LM0203", "splt"),
        ("overlay q : book { seq_len = 0 }", "LM0303", "0"),
        ("let y = nosuch", "LM0207", "nosuch"),
        ("let xs = [1]\nlet y = xs[7]", "LM0307", "7"),
        ("train w : base { optim { lr = 1e-3 }, optim { clip = 1.0 } }", "LM0210", "optim"),
        ("model m : small { mixer { heads = 4 }, mixer { window = 4 } }", "LM0210", "mixer"),
        ("grid h { base = base, over { batch = [1] }, over { steps = [2] } }", "LM0210", "over"),
        ("grid h { base = base, over { stop.when = [none] } }", "LM0501", "[none]"),
        ("train w : base { batch = 4, batch = 8 }", "LM0205", "batch"),
        ("train w : base { optim { lr = 1e-3 }, optim.lr = 1e-2 }", "LM0205", "optim.lr"),
    ],
)
def test_a_mistake_that_no_run_reads_is_told_where_it_is(more: str, code: str, at: str, compile_: Compile) -> None:
    (found,) = compile_(more).diagnostics.items
    assert found.span is not None
    assert (found.code, found.span.text) == (code, at)


@pytest.mark.parametrize(
    "more",
    [
        "overlay q : g { base.steps = 3, over { batch = unset }, seeds = [0] }",
        "overlay q : val { examples = 4 }",
        "let y = small.width\nlet z = [x * y for x in range(3)]\nlet rates = loguniform(1e-4, 1e-2)",
        "train w : base { optim { lr = 1e-3 } }\ntrain v : w { optim { clip = 1.0 } }",
    ],
)
def test_what_is_right_is_not_told(more: str, compile_: Compile) -> None:
    assert compile_(more).diagnostics.items == []


def test_an_imported_train_brings_the_evaluations_that_it_decides_by(tmp_path: Path) -> None:
    """They resolve in the file that names them; others of that file stay there."""
    stops = SPEC.replace("batch = 16 }", 'batch = 16, stop { when = val.loss < 1 }, keep { best = "far.loss" } }')
    more = 'eval far : loss { run = base, split = "train" }\neval third : loss { run = base, examples = 3 }\n'
    (tmp_path / "stops.lmspec").write_text(stops + more, encoding="utf-8")
    (tmp_path / "case.lmspec").write_text('import "stops.lmspec" as s\ntrain w : s.base {}\n', encoding="utf-8")
    there, here = compile_spec(tmp_path / "stops.lmspec"), compile_spec(tmp_path / "case.lmspec")
    assert here.diagnostics.items == there.diagnostics.items == []
    assert here.plan is not None
    assert there.plan is not None
    (point,) = here.plan.points
    same = next(other for other in there.plan.points if other.name == "base")
    assert point.run == same.run
    assert point.evals == {name: same.evals[name] for name in ("val", "far")}


@pytest.mark.parametrize("when", ["since_best(val.loss)", "val.loss", "1", "val.loss < 1 and val.loss", "not val.loss"])
def test_what_ends_a_run_is_true_or_false(when: str, compile_: Compile) -> None:
    (found,) = compile_(f"train w : base {{ stop {{ when = {when} }} }}").diagnostics.items
    assert found.span is not None
    assert (found.code, found.message, found.span.text) == ("LM0301", "`when` is no condition", when)


def test_names_of_a_run_are_its_own_whatever_the_file_calls_so(tmp_path: Path) -> None:
    text = SPEC.replace("model small", "model model").replace("model = small", "model = file.model")
    (tmp_path / "case.lmspec").write_text(
        text + "plot p : line { from = g, x = model.width, y = val.loss, color = batch }", encoding="utf-8"
    )
    compiled = compile_spec(tmp_path / "case.lmspec")
    assert compiled.diagnostics.items == []
    assert compiled.plan is not None
    assert compiled.plan.points[-1].values["model.width"] == 64
