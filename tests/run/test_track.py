"""Trainings shown in TensorBoard and W&B: what their own readers find, whatever became of the run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support.training import job_in, losses, same, weights

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.registry import BUILDERS
from lmc.runtime.tracking.sources import Tail, scalars
from lmc.runtime.tracking.tracker import Tracker
from lmc.runtime.tracking.writers import Shown
from lmc.runtime.training.loop import train
from lmc.spec.plan import Plan
from lmc.spec.tracking import TensorBoard, Wandb
from lmc.spec.train import Every, Train
from lmc.spec.units import Steps

ROOT = Path(__file__).parent.parent.parent
SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 12, batch = 4, every { log = 2, eval = 5 }
TRACK
}
eval held_out : loss { run = base, examples = 4 }
"""
LIBRARIES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def needs(kind: str) -> None:
    pytest.importorskip(kind, reason=f"needs the {kind} library, of the extra `track`")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60, encoding="utf-8")
    return tmp_path


def write(folder: Path, track: str) -> None:
    (folder / "case.lmspec").write_text(SPEC.replace("TRACK", track), encoding="utf-8")


def run_folder(folder: Path) -> Path:
    (found,) = (path.parent for path in (folder / "runs").glob("*/records.jsonl"))
    return found


Points = dict[str, list[tuple[int, float]]]


def shown(kind: str, folder: Path) -> Points:
    """What the library's own reader finds in a run's folder: steps and values by name, in the order of the files."""
    if kind == "wandb":
        from lmc.runtime.tracking.wandb_file import files_of, history

        rows: Points = {}
        for path in files_of(folder / "wandb"):
            for step, values in history(path):
                for name, value in values.items():
                    rows.setdefault(name, []).append((step, value))
        return rows
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (logs,) = (folder / "tensorboard").iterdir()
    events = EventAccumulator(str(logs), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def recorded(name: str, path: Path) -> Points:
    """What the run's own file says, by the same names."""
    found: Points = {}
    for line in map(json.loads, path.read_text().splitlines()):
        for key, value in scalars(name, line).items():
            found.setdefault(key, []).append((line["step"], value))
    return found


def assert_shown(found: Points, wanted: Points) -> None:
    for name, points in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-6), name


@pytest.mark.parametrize("kind", LIBRARIES)
def test_records_profile_and_scores_are_shown(kind: str, folder: Path) -> None:
    needs(kind)
    write(folder, f"track : {kind} {{}}")
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    run = run_folder(folder)
    (scores,) = folder.glob("runs/*/scores.jsonl")
    wanted = {
        **recorded("train", run / "records.jsonl"),
        **recorded("profile", run / "profile.jsonl"),
        **recorded("held_out", scores),
    }
    assert [step for step, _ in wanted["train/loss"]] == [2, 4, 6, 8, 10, 12]
    assert [step for step, _ in wanted["held_out/loss"]] == [5, 10, 12]
    assert {"profile/forward", "held_out/bits_per_byte", "train/lr"} <= wanted.keys()
    found = shown(kind, run)
    assert_shown(found, wanted)
    assert found.keys() == wanted.keys()


def test_tensorboard_has_name_and_settings(folder: Path) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(folder, "track : tensorboard {}")
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    (logs,) = (run_folder(folder) / "tensorboard").iterdir()
    assert logs.name == "base"
    events = EventAccumulator(str(logs))
    events.Reload()
    told = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    for setting, value in {"train.optim.lr": 0.001, "model.width": 8, "data.seq_len": 16, "train.steps": 12}.items():
        assert f"| {setting} | {value} |" in told
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_wandb_has_name_project_and_settings(folder: Path) -> None:
    needs("wandb")
    from wandb.proto import wandb_internal_pb2

    from lmc.runtime.tracking.wandb_file import files_of, records

    write(folder, 'track : wandb { project = "mine" }')
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    run = run_folder(folder)
    first = files_of(run / "wandb")[0]
    message = wandb_internal_pb2.Record()
    for data in records(first.read_bytes()):
        message.ParseFromString(data)
        if message.WhichOneof("record_type") == "run":
            break
    assert (message.run.project, message.run.display_name, message.run.run_id) == ("mine", "base", run.name)
    config = {item.key: item.value_json for item in message.run.config.update}
    assert config["train.optim.lr"] == "0.001"
    assert config["model.width"] == "8"


def test_a_tracker_is_no_part_of_what_a_run_is(folder: Path) -> None:
    def plan_with(track: str) -> Plan:
        write(folder, track)
        compiled = compile_spec(folder / "case.lmspec")
        assert compiled.plan is not None, [d.message for d in compiled.diagnostics.items]
        return compiled.plan

    plain = plan_with("")
    for track in ("track : tensorboard {}", "track : wandb {}", 'track : wandb { project = "p", mode = "online" }'):
        tracked = plan_with(track)
        assert tracked.nodes.keys() == plain.nodes.keys()
    (spec,) = (node.spec for node in tracked.nodes.values() if isinstance(node.spec, Train))
    assert spec.track == Wandb(project="p", mode="online")


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_missing_library_is_said_before_anything_is_written(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, f"track : {kind} {{}}")
    monkeypatch.setitem(sys.modules, LIBRARIES[kind], None)
    assert main(["run", "case.lmspec", "--device", "cpu"]) != 0
    said = capsys.readouterr().err
    assert f"`track : {kind}` needs the library `{kind}`" in said
    assert "pip install -e '.[track]'" in said
    assert not (folder / "runs").exists()


def test_disabled_needs_nothing_and_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    write(folder, 'track : wandb { mode = "disabled" }')
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    assert not list(folder.glob("runs/*/wandb"))


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from attrs import evolve
import run.test_track as case
from support.training import job_in

def report(record):
    if record.step == int(sys.argv[3]):
        while not (job.folder / "checkpoints" / f"step-{record.step // 4 * 4}").is_dir():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

job = case.tracked(sys.argv[1], Path(sys.argv[2]), int(sys.argv[4]))
case.train(evolve(job, report=report))
"""


def tracked(kind: str, folder: Path, log: int = 1) -> Any:
    """A training of twelve steps with checkpoints at every fourth, whose records and scores are shown."""
    spec = {"tensorboard": TensorBoard(), "wandb": Wandb()}[kind]
    job = job_in(folder, every=Every(log=Steps(log), checkpoint=Steps(4)))

    def track(step: int) -> Tracker:
        run = Shown(folder=folder, name="case", settings={"train.lr": 0.1}, step=step)
        tails = [Tail("train", folder / "records.jsonl"), Tail("val", folder / "scores.jsonl")]
        return Tracker(tails, lambda: BUILDERS[type(spec)](spec, run), lambda text: pytest.fail(text))

    return evolve(job, track=track)


@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.parametrize(("log", "scored", "kills"), [(1, (3, 7, 11), (7, 10)), (5, (4, 8, 11), (5, 10))])
def test_a_killed_run_goes_on_without_a_step_twice(
    kind: str, log: int, scored: tuple[int, ...], kills: tuple[int, ...], tmp_path: Path
) -> None:
    needs(kind)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "scores.jsonl").write_text("".join(f'{{"step": {n}, "metrics": {{"x": {n}.5}}}}\n' for n in scored))
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    # Without the service of W&B that an earlier test of this process began, which knows nothing of a kill.
    env = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} | {"PYTHONPATH": paths}
    for step in kills:
        program = [sys.executable, "-c", PROGRAM, kind, str(folder), str(step), str(log)]
        killed = subprocess.run(program, env=env, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    train(tracked(kind, folder, log))
    found = shown(kind, folder)
    assert_shown(found, recorded("train", folder / "records.jsonl"))
    assert [step for step, _ in found["train/loss"]] == sorted({*range(log, 13, log), 12})
    assert found["val/x"] == [(step, step + 0.5) for step in scored]


class Broken:
    """A writer that breaks at its third step."""

    calls = 0

    def write(self, step: int, values: dict[str, float]) -> None:
        self.calls += 1
        if step == 3:
            raise OSError("no space left on the moon\nand more")

    def flush(self) -> None:
        pass

    def close(self) -> None:
        raise AssertionError("it is gone")


def test_a_writer_that_fails_is_let_go_and_harms_nothing(tmp_path: Path) -> None:
    train(job_in(tmp_path / "plain"))
    folder, told, writer = tmp_path / "tracked", [], Broken()
    tails = [Tail("train", folder / "records.jsonl")]
    train(evolve(job_in(folder), track=lambda step: Tracker(tails, lambda: writer, told.append)))
    assert writer.calls == 3
    assert told == ["tracking failed and is left out from here, the run is not harmed: no space left on the moon"]
    assert losses(folder) == losses(tmp_path / "plain")
    assert same(weights(folder), weights(tmp_path / "plain"))


def test_a_writer_that_cannot_be_opened_is_let_go(tmp_path: Path) -> None:
    told: list[str] = []

    def broken() -> Broken:
        raise ConnectionError("no key")

    folder = tmp_path / "tracked"
    tails = [Tail("train", folder / "records.jsonl")]
    train(evolve(job_in(folder), track=lambda step: Tracker(tails, broken, told.append)))
    assert told == ["tracking failed and is left out from here, the run is not harmed: no key"]
    assert len(losses(folder)) == 12


def test_a_line_is_read_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    tail = Tail("a", path)
    assert tail.upto(9) == []
    path.write_text('{"step": 1, "x": 1}\n{"step": 4, "x": 2}\n{"step": 2, "x"')
    assert tail.upto(3) == [(1, {"a/x": 1.0})]
    with open(path, "a") as file:
        file.write(': NaN, "y": 3}\n')
    assert tail.upto(3) == [(2, {"a/y": 3.0})]
    assert tail.upto(9) == [(4, {"a/x": 2.0})]
    assert tail.upto(9) == []
