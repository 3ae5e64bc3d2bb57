"""What `lmc status` says of the runs of a store."""

import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.planned import SPEC, plan_of, record

from lmc.compiler.cli import main
from lmc.runtime.inputs import InputDigests
from lmc.runtime.overview.folders import TAIL, last_lines
from lmc.runtime.overview.running import RunProgress, progress, steps_per_second
from lmc.runtime.overview.status import status_text
from lmc.runtime.store.made import Made, blocks_of, source_of
from lmc.runtime.store.run_store import NodeFolder, RunStore
from lmc.spec.diagnostic import Diagnostic
from lmc.spec.plan import Plan

NAMES = ("w16-lr0.001-s0", "w16-lr0.001-s1", "w16-lr0.01-s0", "w16-lr0.01-s1")


def line(step: int, seconds: float, loss: float = 2.0) -> dict[str, Any]:
    return {"step": step, "loss": loss, "seconds": seconds, "tokens_per_second": 100.0}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """A run that goes on, one that is done, one that failed and one that stopped."""
    plan, store = plan_of(tmp_path), RunStore(tmp_path / "runs")
    folders: dict[str, NodeFolder] = {name: record(plan, store, name) for name in NAMES}
    going, _, failed, stopped = folders.values()
    for folder in (going, failed, stopped):
        folder.leave(0)
        for step in (2, 4, 6):
            folder.append("records.jsonl", line(step, step / 2, 3 - step / 10))
        (folder.path / "checkpoints" / "step-4").mkdir(parents=True)
    failed.fail(Diagnostic("LM0901", "the loss is not finite", None))
    with open(going.path / ".lock", "a+") as lock:
        lock.write("process 7 on there")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield store


def by_name(store: RunStore) -> dict[str, RunProgress]:
    return {run.name: run for run in progress(store)}


def test_each_run_is_in_one_state(store: RunStore) -> None:
    found = by_name(store)
    assert [found[name].state for name in NAMES] == ["running", "done", "failed", "stopped"]
    assert [found[name].step for name in NAMES] == [6, 10, 4, 4]
    assert {run.steps for run in found.values()} == {10}


def test_a_run_that_goes_on_has_rate_and_time_left(store: RunStore) -> None:
    run = by_name(store)[NAMES[0]]
    assert (run.metrics["loss"], run.steps_per_second, run.tokens_per_second) == (2.4, 2.0, 100.0)
    assert run.seconds_left == 2.0
    assert run.holder == "process 7 on there"


def test_a_failure_says_why_and_nothing_of_it_runs(store: RunStore) -> None:
    run = by_name(store)[NAMES[2]]
    assert run.failure == "LM0901: the loss is not finite"
    assert (run.seconds_left, run.holder) == (None, "")


def test_a_rate_is_that_of_the_last_process() -> None:
    before = [line(2, 100.0), line(4, 200.0)]
    assert steps_per_second([*before, line(6, 1.0)]) is None
    assert steps_per_second([*before, line(6, 1.0), line(16, 3.0)]) == 5.0
    assert steps_per_second([]) is None


def test_the_last_lines_of_a_long_file_are_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(20_000)) + '{"n": 20', encoding="utf-8")
    assert path.stat().st_size > 2 * TAIL
    assert [record["n"] for record in last_lines(path, 3)] == [19_997, 19_998, 19_999]
    assert last_lines(tmp_path / "none.jsonl", 3) == []


def test_the_screen_folds_what_is_done(store: RunStore) -> None:
    runs = progress(store)
    many = [RunProgress(str(n), f"n{n}", "b", "f", "done", 10, 10, time=float(n)) for n in range(5000)]
    shown = list(status_text([*many, *runs], [], time.time(), False))
    assert shown[0] == "5,004 runs: 1 running, 1 failed, 1 stopped, 5,001 done"
    assert len(shown) < 30
    assert len(list(status_text([*many, *runs], [], time.time(), True))) > 5000


def test_the_command_prints_text_and_json(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", str(store.path)]) == 0
    text = capsys.readouterr().out
    assert "w16-lr0.001-s0  step 6 of 10; loss 2.4; 100 tokens/s; 2s left; process 7 on there; 0s ago" in text
    assert main(["status", "--store", str(store.path), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"running": 1, "failed": 1, "stopped": 1, "done": 1}
    assert main(["status", "--store", str(store.path / "none")]) == 1
    assert "there is no run store" in capsys.readouterr().err


def measured(plan: Plan, store: RunStore, name: str, loss: float) -> str:
    """Leave a run done whose one evaluation says a loss; return the run's folder."""
    folder = record(plan, store, name)
    node_id = next(point.evals["held_out"] for point in plan.points if point.name == name)
    digests = InputDigests(plan)
    made = Made(source_of(plan.header, store.path), blocks_of(plan)[node_id], digests.files(node_id))
    found = store.open_node(plan.nodes[node_id], digests.of(node_id), f"{name} held_out", made)
    found.finish({"step": 10, "metrics": {"loss": loss}})
    return folder.path.name


def losses(store: RunStore) -> dict[str, float | None]:
    return {run.folder: run.metrics.get("held_out.loss") for run in progress(store)}


def test_runs_of_one_name_have_each_their_own_metrics(tmp_path: Path) -> None:
    text = SPEC.split("grid ")[0] + "overlay quick : base { steps = 4 }\n"
    store = RunStore(tmp_path / "runs")
    quick = measured(plan_of(tmp_path, text, overlays=["quick"]), store, "base", 2.5)
    plan = plan_of(tmp_path, text)
    begun = record(plan, store, "base", attached=False).path.name
    assert losses(store) == {quick: 2.5, begun: None}
    full = measured(plan, store, "base", 1.5)
    assert losses(store) == {quick: 2.5, full: 1.5}


@pytest.mark.parametrize("source", ['file("book.txt")', 'files("*.txt"), document_end = "<|eod|>"'])
def test_runs_of_one_id_over_other_inputs_have_each_their_own_metrics(tmp_path: Path, source: str) -> None:
    text = SPEC.replace('file("book.txt")', source)
    store = RunStore(tmp_path / "runs")
    old = measured(plan_of(tmp_path, text), store, NAMES[0], 2.5)
    added = tmp_path / ("book.txt" if "book" in source else "more.txt")
    added.write_text("a tale of two other cities", encoding="utf-8")
    new = measured(plan_of(tmp_path, text), store, NAMES[0], 1.5)
    assert old.split("-")[0] == new.split("-")[0]
    assert losses(store) == {old: 2.5, new: 1.5}
