"""Stages from the command line to the loaded run: what they are trained on, looked at by, and loaded as."""

import json
from pathlib import Path

import pytest
import torch

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime import load
from lmc.runtime.finished import FinishedRun, open_run
from lmc.spec.model import Rope

SPEC = """
edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data verse : text { source = file("verse.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base {
  model = small, data = book, batch = 4
  optim : adamw { lr = 1e-2 }
  every { eval = 3, checkpoint = 2, log = 1 }
  stage short { steps = 6 }
  stage long {
    steps = 4, batch = 2
    data = verse
    data.seq_len = 32
    model { positions { theta = 500, scaling : yarn { factor = 4, original = 16 } } }
  }
}
train first : plain { steps = 6 }
train second : plain {
  steps = 4, batch = 2
  data = verse
  data.seq_len = 32
  model { positions { theta = 500, scaling : yarn { factor = 4, original = 16 } } }
  init : checkpoint { run = first, optimizer = true }
}
train plain { model = small, data = book, batch = 4, optim : adamw { lr = 1e-2 }, every { log = 1 } }
train later : plain { steps = 2, init : checkpoint { run = base, step = 8 } }
eval held : loss { run = base }
eval rhyme : loss { run = base, data = verse }
probe flow : gradients { run = base, at = ["embed"], reduce = ["rms"], every = 1 }
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> FinishedRun:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    (tmp_path / "verse.txt").write_text("The rain it raineth every day. " * 60, encoding="utf-8")
    (tmp_path / "case.lmspec").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "case.lmspec", "base", "second", "later", "--device", "cpu"]) == 0
    return open_run(Path("runs"), "base", "cpu")


def test_a_staged_run_is_what_its_parts_are_one_behind_the_other(
    ran: FinishedRun, capfd: pytest.CaptureFixture[str]
) -> None:
    said = capfd.readouterr().out
    assert "stage `short` of 6 steps: " in said
    assert "stage `long` of 4 steps: " in said
    base, second = load("base", device="cpu"), load("second", device="cpu")
    assert base.model.spec == second.model.spec
    assert base.model.spec.positions.scaling.factor == 4  # type: ignore[union-attr]
    assert base.context == second.context == 32
    pairs = zip(base.model.state_dict().items(), second.model.state_dict().values(), strict=True)
    assert [name for (name, a), b in pairs if not torch.equal(a, b)] == []
    assert base.generate(["It was"], max_tokens=8)[0].tokens == second.generate(["It was"], max_tokens=8)[0].tokens
    assert load("later", device="cpu").model.spec.positions == Rope()
    assert main(["run", "case.lmspec", "base", "second", "later", "--device", "cpu"]) == 0
    assert "done" in capfd.readouterr().out
    steps = [json.loads(line)["step"] for line in (ran.folder / "records.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 11))


def test_every_checkpoint_has_the_positions_of_its_stage(ran: FinishedRun) -> None:
    for step, theta in ((2, 1e4), (6, 1e4), (8, 500.0), (10, 500.0), (None, 500.0)):
        model = ran.run.load(ran.session, ran.folder, ran.session.placement, step)
        assert model.spec.positions.theta == theta  # type: ignore[union-attr]
    assert json.loads((ran.folder / "params.json").read_text())["positions"]["theta"] == 500.0


def test_evaluations_keep_the_data_of_the_train(ran: FinishedRun) -> None:
    plan = compile_spec(Path("case.lmspec")).plan
    assert plan is not None
    (point,) = [p for p in plan.points if p.name == "base"]
    scores = {
        name: [json.loads(line) for line in next(Path("runs").glob(f"{node}-*/scores.jsonl")).read_text().splitlines()]
        for name, node in point.evals.items()
    }
    assert [line["step"] for line in scores["held"]] == [3, 6, 9, 10]
    trained_on_book, held = scores["held"][1], scores["held"][-1]
    assert trained_on_book["metrics"]["loss"] < scores["held"][0]["metrics"]["loss"]
    assert scores["rhyme"][-1]["metrics"]["loss"] < scores["rhyme"][1]["metrics"]["loss"]
    assert held["metrics"]["loss"] != scores["rhyme"][-1]["metrics"]["loss"]
    records = next(Path("runs").glob(f"{point.probes['flow']}-*/recordings.jsonl")).read_text().splitlines()
    assert [json.loads(line)["step"] for line in records] == list(range(1, 11))


def test_a_run_that_ends_early_is_of_the_stage_in_which_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    (tmp_path / "verse.txt").write_text("The rain it raineth every day. " * 60, encoding="utf-8")
    text = SPEC.replace("stage short", "stop { when = held.loss < 100 }\n  stage short")
    (tmp_path / "case.lmspec").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "case.lmspec", "base", "--device", "cpu"]) == 0
    loaded = load("base", device="cpu")
    assert loaded.model.spec.positions == Rope()
    assert loaded.context == 16


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parent.parent.parent / "examples" / "longer.lmspec"
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(example), "--with", "quick", "--device", "cpu"]) == 0
    loaded = load("longer", device="cpu")
    assert loaded.context == 512
    assert loaded.model.spec.positions.scaling.factor == 4  # type: ignore[union-attr]
