"""Limits of a training, as a user meets them: it leaves with a checkpoint, others go on, no bit changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 24, batch = 2, every { log = 7, eval = 6 } }
eval val : loss { run = base, examples = 4 }
"""
GRID = """
grid sweep {
  base = base
  over { batch = [3, 5, 4] }
  set { limits.wall = none if batch == 4 else 1ms }
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 60, encoding="utf-8")
    (tmp_path / "case.lmspec").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*settings: str, store: str = "runs", jobs: int = 1) -> int:
    more = [word for setting in settings for word in ("--set", setting)]
    return main(["run", "case.lmspec", *more, "--device", "cpu", "--store", store, "--jobs", str(jobs)])


def train_node(store: str = "runs") -> Path:
    (found,) = [
        path.parent for path in Path(store).glob("*/node.json") if json.loads(path.read_text())["kind"] == "train"
    ]
    return found


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def told(folder: Path) -> list[dict[str, Any]]:
    """Return the records without what a clock or a process says."""
    lines = map(json.loads, (folder / "records.jsonl").read_text().splitlines())
    return [{k: line[k] for k in ("step", "loss", "lr", "grad_norm", "tokens", "loss_tokens")} for line in lines]


def test_a_run_that_leaves_for_time_goes_on_to_the_same_bits(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(store="whole") == 0
    for step in (1, 2):
        capfd.readouterr()
        assert run("base.limits.wall=1ms") == 75
        said = capfd.readouterr().out
        assert f"limits.wall = 1ms is reached at step {step}; the checkpoint is kept, the same command goes on" in said
        assert max(steps(train_node())) == step
        assert json.loads((train_node() / "node.json").read_text())["status"] == "partial"
    assert run("base.limits.wall=1h", "base.limits.memory=1TiB") == 0
    assert train_node().name == train_node("whole").name
    assert told(train_node()) == told(train_node("whole"))
    weights = [(train_node(store) / "model.safetensors").read_bytes() for store in ("runs", "whole")]
    assert weights[0] == weights[1]
    assert "left" not in json.loads((train_node() / "node.json").read_text())


@pytest.mark.parametrize("jobs", [1, 2])
def test_other_runs_go_on_past_one_that_leaves(jobs: int, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "case.lmspec").write_text(SPEC + GRID, encoding="utf-8")
    assert run(jobs=jobs) == 75
    said = capfd.readouterr().out
    nodes = [json.loads(path.read_text()) for path in Path("runs").glob("*/node.json")]
    states = {(node["kind"], node["name"]): node["status"] for node in nodes}
    assert states["train", "sweep-batch4"] == states["eval", "sweep-batch4 val"] == "done"
    for left in (3, 5):
        assert states["train", f"sweep-batch{left}"] == "partial"
        assert states.get(("eval", f"sweep-batch{left} val")) != "done"
        assert len([line for line in said.splitlines() if f"sweep-batch{left} " in line and "is reached" in line]) == 1
    assert said.count("eval val not run: it needs train base") == 2


def test_a_run_that_holds_too_much_stops_with_its_checkpoint(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("base.every.log=1k", "base.limits.memory=1MiB") == 3
    said = capfd.readouterr().err
    assert "error[LM0903]" in said
    assert "of memory were held by step 10; limits.memory is 1MiB" in said
    assert steps(train_node()) == [10]
    assert run() == 0
    assert run(store="whole") == 0
    weights = [(train_node(store) / "model.safetensors").read_bytes() for store in ("runs", "whole")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("limits", "code", "message"),
    [
        ("wall = 16GiB", "LM0302", "`wall` needs a Duration, got a Size"),
        ("memory = 2h", "LM0302", "`memory` needs a Size, got a Duration"),
        ("memory = 70", "LM0302", "`memory` needs a Size, got an Int"),
        ("wall = 0s", "LM0303", "`wall` must be above 0, got 0.0"),
        ("time = 2h", "LM0203", "`limits` has no field `time`"),
    ],
)
def test_a_limit_that_is_none_is_told(limits: str, code: str, message: str, folder: Path) -> None:
    text = SPEC.replace("steps = 24", f"steps = 24, limits {{ {limits} }}")
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    assert [(d.code, d.message) for d in compile_spec(folder / "case.lmspec").diagnostics.items] == [(code, message)]
