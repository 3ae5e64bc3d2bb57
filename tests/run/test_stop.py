"""Trainings that end early, by what their evaluations find."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.finished import open_run
from lmc.runtime.training.stopping import Metric, ends
from lmc.spec.expr import Expr

SPEC = """
edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base {
  model = small, data = book
  steps = 200, batch = 4
  optim : adamw { lr = 1e-2 }
  every { eval = 5, checkpoint = 50 }
  stop { when = val.loss < 2.5 or since_best(val.loss) >= 4 }
}
eval val : loss { run = base, examples = 8 }
"""
SINCE = ("op", ">=", (("call", "since_best", (("name", "val.loss"),)), ("value", 2)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores_of(name: str) -> list[tuple[int, float]]:
    found = open_run(Path("runs"), name, "cpu")
    (path,) = Path("runs").glob("*/scores.jsonl")
    del found
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["step"], line["metrics"]["loss"]) for line in lines]


def test_a_run_ends_with_the_first_evaluation_that_meets_the_condition(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "stop.lmspec").write_text(SPEC, encoding="utf-8")
    assert main(["run", "stop.lmspec", "--device", "cpu"]) == 0
    scores = scores_of("base")
    last = scores[-1][0]
    assert [step for step, _ in scores] == list(range(5, last + 1, 5))
    assert last < 200
    assert scores[-1][1] < 2.5 <= min(loss for _, loss in scores[:-1])
    found = open_run(Path("runs"), "base", "cpu")
    records = [json.loads(line) for line in (found.folder / "records.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == last
    assert (found.folder / "checkpoints" / f"step-{last}").is_dir()
    capfd.readouterr()
    assert main(["run", "stop.lmspec", "--device", "cpu"]) == 0
    assert "2 of 2 nodes done" in capfd.readouterr().out


def test_a_probe_that_came_late_sees_the_steps_up_to_the_early_end(folder: Path) -> None:
    (folder / "stop.lmspec").write_text(SPEC, encoding="utf-8")
    assert main(["run", "stop.lmspec", "--device", "cpu"]) == 0
    last = scores_of("base")[-1][0]
    probe = 'probe back : gradients { run = base, at = ["embed"], reduce = "rms", every = 5 }\n'
    (folder / "stop.lmspec").write_text(SPEC + probe, encoding="utf-8")
    assert main(["run", "stop.lmspec", "--device", "cpu", "--replay"]) == 0
    (path,) = Path("runs").glob("*/recordings.jsonl")
    assert {json.loads(line)["step"] for line in path.read_text().splitlines()} == {1, *range(5, last + 1, 5)}


def test_a_condition_over_an_evaluation_that_is_only_made_at_the_end_ends_nothing(folder: Path) -> None:
    text = SPEC.replace("steps = 200", "steps = 6").replace("eval = 5", "eval = 0").replace("< 2.5", "< 100")
    (folder / "stop.lmspec").write_text(text, encoding="utf-8")
    assert main(["run", "stop.lmspec", "--device", "cpu"]) == 0
    assert [step for step, _ in scores_of("base")] == [6]


def ids(text: str, folder: Path) -> str:
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    compiled = compile_spec(folder / "case.lmspec")
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics.items]
    return compiled.plan.points[0].run


def test_what_decides_is_part_of_what_a_run_is(folder: Path) -> None:
    without = SPEC.replace("  stop { when = val.loss < 2.5 or since_best(val.loss) >= 4 }\n", "")
    first = ids(SPEC, folder)
    for old, new in (("examples = 8", "examples = 9"), ("eval = 5", "eval = 6"), ("< 2.5", "< 2.4")):
        assert ids(SPEC.replace(old, new), folder) != first
    assert ids(SPEC.replace("checkpoint = 50", "checkpoint = 60"), folder) == first
    assert ids(without, folder) == ids(without.replace("examples = 8", "examples = 9"), folder) != first


@pytest.mark.parametrize(
    ("when", "message", "help"),
    [
        ("val.los < 1", "`val` has no metric `los`", "did you mean `val.loss`?"),
        ("vall.loss < 1", "`vall.loss` is no metric of an evaluation of this run", "evaluations of this run are val"),
        ("optim.lr < 1", "`optim.lr` is no metric of an evaluation of this run", "evaluations of this run are val"),
        ("best(val.loss) < 1", "there is no function `best` over results", ""),
    ],
)
def test_what_a_condition_cannot_read_is_told_at_its_place(when: str, message: str, help: str, folder: Path) -> None:
    text = SPEC.replace("val.loss < 2.5 or since_best(val.loss) >= 4", when)
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    (found,) = compile_spec(folder / "case.lmspec").diagnostics.items
    assert (found.message, found.help) == (message, help)
    assert found.span is not None
    assert found.span.text in when


@given(st.lists(st.one_of(st.integers(-5, 5).map(float), st.just(math.nan)), min_size=1, max_size=12))
def test_since_best_counts_evaluations_behind_the_first_best(values: list[float]) -> None:
    for name, better in (("loss", min), ("accuracy", max)):
        real = [value for value in values if not math.isnan(value)]
        best = values.index(better(real)) if real else 0
        assert Metric.of(name, values).since == len(values) - 1 - best


def test_a_condition_is_asked_when_something_new_was_found() -> None:
    lines = [(5, {"loss": 3.0}), (10, {"loss": 4.0}), (15, {"loss": 5.0}), (20, {"loss": 1.0})]

    def scores(name: str) -> Sequence[tuple[int, dict[str, float]]]:
        return lines

    when = Expr(SINCE)
    assert [step for step in range(1, 25) if ends(when, scores, step)] == [15]
    assert not ends(when, lambda name: [], 5)


def test_an_imported_training_ends_by_the_evaluation_of_its_file(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What ends it is said there, so the run and its bits are those of the file that says it."""
    (folder / "stop.lmspec").write_text(SPEC, encoding="utf-8")
    (folder / "other.lmspec").write_text('import "stop.lmspec" as s\ntrain mine : s.base {}\n', encoding="utf-8")
    assert main(["run", "other.lmspec", "--device", "cpu"]) == 0
    scores = scores_of("mine")
    assert scores[-1][0] < 200
    assert scores[-1][1] < 2.5
    capfd.readouterr()
    assert main(["run", "stop.lmspec", "--device", "cpu"]) == 0
    assert "2 of 2 nodes done" in capfd.readouterr().out
