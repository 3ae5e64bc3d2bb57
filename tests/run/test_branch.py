"""A training that starts from a kept checkpoint of another."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime import load
from lmc.runtime.finished import open_run
from lmc.runtime.training.resume import load_model
from lmc.spec.diagnostic import LmcError

SPEC = """
edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train long {
  model = small, data = book
  steps = 20, batch = 4
  optim : adamw { lr = 1e-2 }
  every { checkpoint = 5 }
}
train cooldown : long { steps = 1, init : checkpoint { run = long, step = 10 }, optim.lr = 1e-12 }
train further : long { steps = 5, init : checkpoint { run = long, optimizer = true } }
eval held_out : loss { run = further }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    (tmp_path / "branch.lmspec").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_branches_start_from_what_was_kept(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "branch.lmspec", "cooldown", "further", "--device", "cpu"]) == 0
    capfd.readouterr()
    long = open_run(Path("runs"), "long", "cpu")
    at_ten = load_model(long.folder, long.run.architecture(long.session), long.session.placement, 10)
    for (name, kept), value in zip(
        at_ten.named_parameters(), load("cooldown", device="cpu").model.parameters(), strict=True
    ):
        torch.testing.assert_close(kept, value, rtol=0, atol=1e-9, msg=name)
    last = load("long", device="cpu").model
    gone_on = load("further", device="cpu").model
    moved = [float((a - b).detach().abs().max()) for a, b in zip(last.parameters(), gone_on.parameters(), strict=True)]
    assert 0 < max(moved) < 0.2


def test_what_it_starts_from_is_part_of_what_a_run_is(folder: Path) -> None:
    def ids(text: str) -> dict[str, str]:
        (folder / "other.lmspec").write_text(text, encoding="utf-8")
        plan = compile_spec(folder / "other.lmspec").plan
        assert plan is not None
        return {point.name: point.run for point in plan.points}

    first, later = ids(SPEC), ids(SPEC.replace("step = 10", "step = 5"))
    assert first["long"] == later["long"]
    assert first["cooldown"] != later["cooldown"]
    other = ids(SPEC.replace("lr = 1e-2", "lr = 2e-2"))
    assert other["cooldown"] != first["cooldown"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("step = 10", "step = 7", "keeps no checkpoint of step 7"),
        ("step = 10", "step = 25", "keeps no checkpoint of step 25"),
        ("optim.lr = 1e-12", "model.width = 32", "differs from that of the run it starts from in width"),
        ("optimizer = true }", "optimizer = true }, optim : sgd { lr = 0.1 }", "another kind of optimiser"),
        ("run = long, step = 10", "run = cooldown", "train `cooldown` starts from itself"),
        ("checkpoint = 5 }", "checkpoint = 5 }, init : checkpoint { run = further }", "starts from itself"),
    ],
)
def test_what_cannot_be_started_from_is_told_by_the_compiler(old: str, new: str, message: str, folder: Path) -> None:
    (folder / "wrong.lmspec").write_text(SPEC.replace(old, new), encoding="utf-8")
    found, *_ = compile_spec(folder / "wrong.lmspec").diagnostics.items
    assert message in found.message


@pytest.mark.parametrize(
    ("every", "step", "help"),
    [
        ("every.checkpoint = 5", 7, "it keeps those of every 5 steps (`every.checkpoint`) and its last, 20"),
        ("every.checkpoint = 5, keep.every = 4", 10, "it keeps those of every 4 steps (`keep.every`) and its last, 20"),
        (
            "keep.last = 3",
            18,
            "it keeps its last, 20, for good; `every.checkpoint` says which others it makes and keeps",
        ),
        (
            "every.checkpoint = 5, keep.last = 2",
            10,
            "`keep.last` leaves the 2 newest, so for good its last, 20; `keep.every` says which others stay",
        ),
        (
            "every.checkpoint = 5, keep.last = 1",
            10,
            "`keep.last` leaves the newest alone, so for good its last, 20; `keep.every` says which others stay",
        ),
    ],
)
def test_what_a_run_will_have_removed_is_told_where_it_is_named(every: str, step: int, help: str, folder: Path) -> None:
    text = SPEC.replace("every { checkpoint = 5 }", every).replace("step = 10", f"step = {step}")
    (folder / "wrong.lmspec").write_text(text, encoding="utf-8")
    (found,) = compile_spec(folder / "wrong.lmspec").diagnostics.items
    assert (found.code, found.help) == ("LM0408", f"name another step: {help}")
    assert found.message == f"the run keeps no checkpoint of step {step}"
    assert found.span is not None
    assert found.span.text == str(step)
    kept = text.replace(f"step = {step}", "step = 20")
    (folder / "right.lmspec").write_text(kept, encoding="utf-8")
    assert compile_spec(folder / "right.lmspec").plan is not None


def test_an_axis_reaches_the_run_that_is_started_from(folder: Path) -> None:
    grid = """
grid widths {
  base = cooldown
  zip { model.width = [16, 32], init.run.model.width = [16, 32] }
}
"""
    (folder / "grid.lmspec").write_text(SPEC + grid, encoding="utf-8")
    compiled = compile_spec(folder / "grid.lmspec")
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics.items]
    plan = compiled.plan
    first, second = (plan.nodes[point.run].spec for point in plan.points if point.grid == "widths")
    widths = [plan.nodes[plan.nodes[spec.origin].spec.model].spec.width for spec in (first, second)]
    assert widths == [16, 32]


LEARNED = (
    SPEC.replace("mixer : attention", "positions : learned { length = 16 }, mixer : attention")
    + """
data longer : book { seq_len = 40 }
data longest : book { seq_len = 41 }
train grown : long {
  model.positions.length = 40, data = longer, steps = 1
  init : checkpoint { run = long }, optim.lr = 1e-12
}
eval long_texts : loss { run = grown, data = longer }
"""
)


def test_learned_positions_are_resized_where_a_run_starts_from_fewer(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "learned.lmspec").write_text(LEARNED, encoding="utf-8")
    assert main(["run", "learned.lmspec", "grown", "--device", "cpu"]) == 0
    capfd.readouterr()
    before = dict(load("long", device="cpu").model.named_parameters())
    for name, value in load("grown", device="cpu").model.named_parameters():
        if name != "positions.weight":
            torch.testing.assert_close(before[name], value, rtol=0, atol=1e-9, msg=name)
            continue
        columns = before[name].detach().double().numpy().T
        want = np.stack([np.interp(np.linspace(0, 15, 40), np.arange(16), column) for column in columns], axis=1)
        np.testing.assert_allclose(value.detach().numpy(), want, rtol=0, atol=1e-6)
    with pytest.raises(LmcError, match="has learned 40 positions; a context of 41 is more"):
        load("grown", device="cpu", context=41)


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("length = 40", "length = 39", "LM0303", "up to 40 tokens; the model has learned 39 positions"),
        ("data = longer }", "data = longest }", "LM0303", "up to 41 tokens; the model has learned 40 positions"),
        ("run = long }, optim.lr", "run = long, optimizer = true }, optim.lr", "LM0408", "moments of 16 positions"),
        ("model.positions.length = 40", "model.positions = nope {}", "LM0408", "differs from that of the run"),
    ],
)
def test_positions_that_do_not_fit_are_told_by_the_compiler(
    old: str, new: str, code: str, message: str, folder: Path
) -> None:
    assert old in LEARNED
    (folder / "wrong.lmspec").write_text(LEARNED.replace(old, new), encoding="utf-8")
    found, *_ = compile_spec(folder / "wrong.lmspec").diagnostics.items
    assert found.code == code
    assert message in found.message


def test_a_window_is_no_other_shape(folder: Path) -> None:
    text = SPEC.replace("optim.lr = 1e-12", "optim.lr = 1e-12, model.mixer.window = 4, model.mixer.sinks = 1")
    (folder / "window.lmspec").write_text(text, encoding="utf-8")
    assert not compile_spec(folder / "window.lmspec").diagnostics.items
