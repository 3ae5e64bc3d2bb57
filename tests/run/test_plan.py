"""`lmc plan` before, between and after real runs, as a user reads it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.runtime.overview.report import plan_text
from lmc.runtime.overview.states import BlockState, RunState
from lmc.spec.plan import Header, Plan

SPEC = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base {
  model = small, data = book, steps = 6, batch = 2
  every { checkpoint = 2, log = 2 }
  optim : adamw { lr = 1e-3 }
}
eval held_out : loss { run = base, every = 3 }
grid sweep { base = base, over { model.width = [8, 16] }, seeds = range(2), name = f"w{model.width}-s{seed}" }
"""
PROBE = 'probe flow : gradients { run = base, at = ["blocks.*.out"], reduce = ["rms"], every = 2 }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("a tale of two cities, told once more. " * 40)
    (tmp_path / "case.lmspec").write_text(SPEC)
    return tmp_path


def planned(capfd: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """The one block of the plan."""
    capfd.readouterr()
    assert main(["plan", "case.lmspec", "--format", "json", *more]) == 0
    block: dict[str, Any] = json.loads(capfd.readouterr().out)["blocks"][0]
    return block


def signs(block: dict[str, Any]) -> dict[str, str]:
    return {run["name"]: run["sign"] for run in block["runs"]}


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "case.lmspec"
    path.write_text(path.read_text().replace(old, new))


def test_a_plan_follows_runs_and_edits(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert signs(planned(capfd)) == dict.fromkeys(("w8-s0", "w8-s1", "w16-s0", "w16-s1"), "+")
    assert not (folder / "runs").exists()
    assert not (folder / "build").exists()
    assert main(["run", "case.lmspec", "w8-s1", "--device", "cpu", "--jobs", "1"]) == 0
    block = planned(capfd)
    assert signs(block) == {"w8-s0": "+", "w8-s1": "=", "w16-s0": "+", "w16-s1": "+"}
    assert block["attached"] == {"held_out": {"done": 1, "count": 4}}

    edit(folder, "lr = 1e-3", "lr = 2e-3")
    run = planned(capfd)["runs"][1]
    assert (run["sign"], run["changed"]) == ("~", [{"path": "optim.lr", "old": 0.001, "new": 0.002}])
    edit(folder, "lr = 2e-3", "lr = 1e-3")

    (folder / "book.txt").write_text("another tale. " * 100)
    run = planned(capfd)["runs"][1]
    assert (run["sign"], [change["path"] for change in run["changed"]]) == ("~", ["book.txt"])
    (folder / "book.txt").write_text("a tale of two cities, told once more. " * 40)

    edit(folder, "[8, 16]", "[16]")
    block = planned(capfd)
    assert [run["name"] for run in block["orphans"]] == ["w8-s1"]
    assert signs(block) == {"w16-s0": "+", "w16-s1": "+"}
    assert planned(capfd, "--set", "base.steps = 4")["orphans"] == []


def test_a_run_that_is_not_finished_tells_where_it_goes_on(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder, "steps = 6", "steps = 6, limits { wall = 1ms }")
    assert main(["run", "case.lmspec", "w16-s1", "--device", "cpu", "--jobs", "1"]) == 75
    run = next(run for run in planned(capfd)["runs"] if run["name"] == "w16-s1")
    kept = list((folder / "runs" / run["folder"] / "checkpoints").glob("step-*"))
    assert kept
    assert (run["sign"], run["steps"], run["running"]) == (">", 6, False)
    assert run["step"] == max(int(path.name[5:]) for path in kept)
    assert main(["plan", "case.lmspec"]) == 0
    assert f"> 1 partial w16-s1: resumes at step {run['step']} of 6" in " ".join(capfd.readouterr().out.split())


def test_a_probe_on_a_finished_run_needs_replay(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "case.lmspec", "w8-s1", "--device", "cpu", "--jobs", "1"]) == 0
    edit(folder, "eval held_out", PROBE + "eval held_out")
    block = planned(capfd)
    assert [run["replay"] for run in block["runs"]] == [[], ["flow"], [], []]
    assert main(["plan", "case.lmspec"]) == 0
    assert "! needs replay: probe flow of w8-s1" in capfd.readouterr().out
    assert main(["run", "case.lmspec", "w8-s1", "--device", "cpu", "--replay", "--jobs", "1"]) == 0
    assert planned(capfd)["runs"][1]["replay"] == []


def status(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one run of the store."""
    capfd.readouterr()
    assert main(["status", "--format", "json"]) == 0
    (run,) = json.loads(capfd.readouterr().out)["runs"]
    found: dict[str, Any] = run
    return found


def test_what_a_plot_or_a_run_is_named_for_is_planned(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    more = "train other : base { steps = 4 }\n"
    more += (
        'plot curves : line { from = sweep, x = step, y = held_out.loss, color = model.width, file = "out/c.svg" }\n'
    )
    (folder / "case.lmspec").write_text(SPEC + more)
    names = dict.fromkeys(("w8-s0", "w8-s1", "w16-s0", "w16-s1"), "+")
    assert signs(planned(capfd, "curves")) == names
    assert signs(planned(capfd, "w16-s1")) == {"w16-s1": "+"}
    assert signs(planned(capfd, "other", "w8-s0")) == {"other": "+"}
    assert main(["plan", "case.lmspec", "curves"]) == 0
    assert capfd.readouterr().out.startswith("grid sweep: 4 points, 4 runs\n")


def test_a_run_is_compared_with_the_record_nearest_to_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "case.lmspec").write_text(SPEC.split("grid sweep")[0])
    run = ["run", "case.lmspec", "base", "--device", "cpu", "--jobs", "1"]
    assert main(run) == 0
    assert main([*run, "--set", "base.steps = 2", "--set", "small.width = 16"]) == 0
    edit(folder, "lr = 1e-3", "lr = 2e-3")
    changed = planned(capfd)["runs"][0]["changed"]
    assert changed == [{"path": "optim.lr", "old": 0.001, "new": 0.002}]


def test_axes_are_told_as_the_language_writes_them(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    axes = "optim = [adamw { clip = 1.0 }, sgd {}], ema = [none, 0.99]"
    (folder / "case.lmspec").write_text(
        SPEC.replace("over { model.width = [8, 16] }", f"over {{ {axes} }}").split(", seeds")[0] + "}\n"
    )
    assert main(["plan", "case.lmspec"]) == 0
    said = capfd.readouterr().out
    assert "    ema = none, 0.99\n" in said
    assert "    optim = adamw { clip = 1.0 }, sgd" in said


def test_a_file_without_runs_says_so(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "case.lmspec").write_text("edition = 1\n")
    assert main(["plan", "case.lmspec"]) == 0
    assert capfd.readouterr().out == "there is nothing to run: write a train\n"


def test_orphans_of_one_name_are_told_apart() -> None:
    runs = [RunState(f"{letter}bcdefghij", "w8-s0", "", "-") for letter in "ab"]
    block = BlockState("gone", "block", 0, (), tuple(runs))
    plan = Plan(Header("case", ".", ()), {}, (), ())
    assert [*plan_text(plan, [block], {}, [], False)][-1] == "  - 2 orphan: w8-s0 (abcdef), w8-s0 (bbcdef)"


def test_status_follows_a_run_from_its_first_record_to_a_stop(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder, "steps = 6", "steps = 1M, compile = false, micro_batch = 2")
    edit(folder, "checkpoint = 2", "checkpoint = 100k")
    command = [sys.executable, "-m", "lmc.compiler.cli", "run", "case.lmspec", "w8-s1", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("runs/*/records.jsonl")) or status(capfd)["seconds_left"] is None:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run = status(capfd)
        assert (run["name"], run["state"], run["steps"]) == ("w8-s1", "running", 1_000_000)
        assert run["step"] > 0
        assert run["seconds_left"] == pytest.approx((1_000_000 - run["step"]) / run["steps_per_second"])
        assert 0 < run["metrics"]["loss"] < 10
        assert planned(capfd)["runs"][1]["running"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 75
    run = status(capfd)
    assert (run["state"], run["seconds_left"]) == ("stopped", None)
    assert run["step"] == planned(capfd)["runs"][1]["step"] > 0


def test_what_a_vocabulary_decides_is_known_only_to_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = SPEC.replace('byte { specials = ["<|eod|>"] }', 'hf { file = file("tokenizer.json") }')
    (folder / "case.lmspec").write_text(spec.split("grid sweep")[0])
    (folder / "tokenizer.json").write_text("{}")  # no plan reads it
    assert main(["plan", "case.lmspec"]) == 0
    shown = [line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines()]
    told = {words[0]: words[1] for words in shown if len(words) == 2}
    assert told["parameters"] == told["compute"] == "known only to the run"
    assert told["tokens"] == "192 a run"
