"""What `lmc plan` says of each run: the five signs from index and folders, and its text for people."""

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.planned import SPEC, plan_of, record

from lmc.runtime.overview.report import plan_json, plan_text
from lmc.runtime.overview.states import BlockState, StateReader
from lmc.runtime.store.run_store import RunStore
from lmc.spec.diagnostic import Diagnostic
from lmc.spec.plan import Plan

NAMES = [f"w{width}-lr{lr}-s{seed}" for width in (16, 32) for lr in ("0.001", "0.01") for seed in (0, 1)]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def states(plan: Plan, store: RunStore, *blocks: str) -> list[BlockState]:
    return StateReader(plan, store).blocks(blocks)


def signs(plan: Plan, store: RunStore) -> str:
    return "".join(run.sign for run in states(plan, store)[0].runs)


def test_new_runs_touch_nothing(tmp_path: Path, store: RunStore) -> None:
    (block,) = states(plan_of(tmp_path), store)
    assert [run.name for run in block.runs] == NAMES
    assert {run.sign for run in block.runs} == {"+"}
    assert (block.kind, block.points, block.attached) == ("grid", 8, {"held_out": (0, 8)})
    assert not store.path.exists()


def test_finished_runs_are_done_and_counted_with_what_is_attached(tmp_path: Path, store: RunStore) -> None:
    plan = plan_of(tmp_path)
    record(plan, store, NAMES[0])
    record(plan, store, NAMES[3], attached=False)
    (block,) = states(plan, store)
    assert signs(plan, store) == "=++=++++"
    assert block.attached == {"held_out": (1, 8)}


def test_a_partial_run_resumes_at_its_last_checkpoint(tmp_path: Path, store: RunStore) -> None:
    plan = plan_of(tmp_path)
    folder = record(plan, store, NAMES[1])
    folder.fail(Diagnostic("LM0901", "the loss is not finite", None))
    for name in ("step-4", "step-6", "step-8.tmp"):
        (folder.path / "checkpoints" / name).mkdir(parents=True)
    run = states(plan, store)[0].runs[1]
    assert (run.sign, run.step, run.steps, run.failure) == (">", 6, 10, "the loss is not finite")
    assert not run.running
    with open(folder.path / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert states(plan, store)[0].runs[1].running
    text = "\n".join(plan_text(plan, states(plan, store), {}, [], False))
    assert f"> 1 partial\n      {NAMES[1]}: failed (the loss is not finite), resumes at step 6 of 10" in text


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("steps = 10", "steps = 20", [("steps", 10, 20)]),
        ("layers = 2", "layers = 3", [("model.layers", 2, 3)]),
        ("heads = 2", "heads = 4", [("model.mixer.heads", 2, 4), ("model.mixer.kv_heads", 2, 4)]),
        ("seq_len = 16", "seq_len = 8", [("data.seq_len", 16, 8)]),
        ("optim : adamw { lr = 1e-3 }", "optim : sgd {}", [("optim", "adamw", "sgd")]),
        (
            '"<|eod|>"',
            '"<|end|>"',
            [(f"{part}.tokenizer.specials", ["<|eod|>"], ["<|end|>"]) for part in ("model", "data")],
        ),
        (
            "steps = 10",
            "steps = 10, stop { when = held_out.loss < 1.5 }",
            [("stop.when", None, "held_out.loss < 1.5")],
        ),
    ],
)
def test_a_run_of_the_same_name_tells_the_field_that_changed(
    old: str, new: str, changes: list[tuple[str, Any, Any]], tmp_path: Path, store: RunStore
) -> None:
    before = record(plan_of(tmp_path), store, NAMES[0])
    (block,) = states(plan_of(tmp_path, SPEC.replace(old, new)), store)
    run = block.runs[0]
    assert (run.sign, run.was) == ("~", before.path.name)
    assert [(change.path, change.old, change.new) for change in run.changed] == changes
    assert {run.sign for run in block.runs[1:]} == {"+"}
    assert block.orphans == ()


def test_other_bytes_of_a_file_are_named(tmp_path: Path, store: RunStore) -> None:
    plan = plan_of(tmp_path)
    record(plan, store, NAMES[0])
    (tmp_path / "book.txt").write_text("other words", encoding="utf-8")
    run = states(plan, store)[0].runs[0]
    assert run.sign == "~"
    assert [change.path for change in run.changed] == ["book.txt"]
    assert run.changed[0].old != run.changed[0].new


def test_a_run_that_left_the_file_is_an_orphan_of_its_block(tmp_path: Path, store: RunStore) -> None:
    record(plan_of(tmp_path), store, NAMES[0])
    fewer = plan_of(tmp_path, SPEC.replace("[16, 32]", "[32]"))
    (block,) = states(fewer, store)
    assert [(run.name, run.sign) for run in block.orphans] == [(NAMES[0], "-")]
    renamed = plan_of(tmp_path, SPEC.replace("grid sweep", "grid widths").replace("[16, 32]", "[32]"))
    assert [(block.name, len(block.runs), len(block.orphans)) for block in states(renamed, store)] == [
        ("widths", 4, 0),
        ("sweep", 0, 1),
    ]


def test_a_block_that_is_renamed_keeps_its_runs(tmp_path: Path, store: RunStore) -> None:
    record(plan_of(tmp_path), store, NAMES[0])
    renamed = plan_of(tmp_path, SPEC.replace("grid sweep", "grid widths"))
    assert signs(renamed, store) == "=+++++++"
    assert len(states(renamed, store)) == 1


def test_runs_of_other_settings_and_files_are_no_orphans(tmp_path: Path, store: RunStore) -> None:
    record(plan_of(tmp_path), store, NAMES[0])
    other = plan_of(tmp_path, settings=["base.steps = 30"])
    assert signs(other, store) == "~+++++++"
    assert [block.orphans for block in states(other, store)] == [()]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (block,) = states(plan_of(elsewhere, SPEC.replace("[16, 32]", "[32]")), store)
    assert ({run.sign for run in block.runs}, block.orphans) == ({"+"}, ())


def test_a_moved_project_keeps_its_orphans(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    record(plan_of(tmp_path / "here"), RunStore(tmp_path / "here" / "runs"), NAMES[0])
    (tmp_path / "here").rename(tmp_path / "there")
    fewer = plan_of(tmp_path / "there", SPEC.replace("[16, 32]", "[32]"))
    (block,) = states(fewer, RunStore(tmp_path / "there" / "runs"))
    assert [run.name for run in block.orphans] == [NAMES[0]]


def test_points_that_share_a_run_are_counted_apart(tmp_path: Path, store: RunStore) -> None:
    text = SPEC.replace("optim.lr = [1e-3, 1e-2]", "every.log = [1, 2]").replace("-lr{optim.lr}", "")
    (block,) = states(plan_of(tmp_path, text), store)
    assert (block.points, len(block.runs)) == (8, 4)


def test_the_trains_that_runs_start_from_are_shown(tmp_path: Path, store: RunStore) -> None:
    more = "train tuned : base { init : checkpoint { run = base }, steps = 5 }\n"
    found = states(plan_of(tmp_path, SPEC + more), store, "tuned")
    assert [(block.name, block.kind) for block in found] == [("tuned", "train"), ("base", "train")]


def test_thousands_of_runs_are_a_screen_and_all_of_them_are_lines(tmp_path: Path, store: RunStore) -> None:
    plan = plan_of(tmp_path, SPEC.replace("range(2)", "range(500)"))
    record(plan, store, NAMES[0])
    folder = record(plan, store, "w16-lr0.001-s7")
    folder.leave(3)
    found = states(plan, store)
    folded = list(plan_text(plan, found, {}, [], False))
    assert len(folded) <= 25
    assert max(map(len, folded)) <= 160
    assert any("1,998 new" in line for line in folded)
    assert len(list(plan_text(plan, found, {}, [], True))) > 2000
    machine = plan_json(plan, found, {}, [])
    assert json.loads(json.dumps(machine))["blocks"][0]["counts"] == {"+": 1998, "=": 1, ">": 1, "~": 0, "-": 0}


def test_the_command_loads_nothing_heavy(tmp_path: Path, store: RunStore) -> None:
    record(plan_of(tmp_path), store, NAMES[0])
    program = (
        "import sys; from lmc.compiler.cli import main\n"
        f"code = main(['plan', {str(tmp_path / 'case.lmspec')!r}, '--store', {str(store.path)!r}])\n"
        "heavy = {'torch', 'numpy', 'matplotlib'} & {m.split('.')[0] for m in sys.modules}\n"
        "sys.exit(code or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "= 1 done" in done.stdout


def test_the_text_of_changed_runs_says_what_changed(tmp_path: Path, store: RunStore) -> None:
    text = SPEC.replace("1e-2]", "0.0031622776601683794]").replace("range(2)", "[0]").replace("[16, 32]", "[16]")
    plan = plan_of(tmp_path, text)
    for point in plan.points:
        if point.grid == "sweep":
            record(plan, store, point.name)
    (tmp_path / "book.txt").write_text("other words", encoding="utf-8")
    told = list(plan_text(plan, states(plan, store), {}, [], False))
    before, now = (hashlib.sha256(words).hexdigest()[:8] for words in (b"a tale of two cities", b"other words"))
    assert told[0] == "grid sweep: 2 points, 2 runs"
    assert "    optim.lr = 0.001, 0.00316228" in told
    names = "w16-lr0.001-s0, w16-lr0.0031622776601683794-s0"
    assert told[told.index("  ~ 2 changed") + 1] == f"      {names}: book.txt {before} -> {now}"
    plan = plan_of(tmp_path, text.replace("steps = 10", "steps = 20"))
    assert f"      {names}: steps 10 -> 20" in plan_text(plan, states(plan, store), {}, [], False)
