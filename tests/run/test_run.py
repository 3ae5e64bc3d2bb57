"""`lmc run` as a user meets it: processes, exit codes, what is on disk afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmc.runtime.store.run_store import RunStore

ROOT = Path(__file__).parent.parent.parent
SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4, every { log = 1, eval = 2 } }
eval held_out : loss { run = base, examples = 4 }
eval words : generate { run = base, prompt = "a", max_tokens = 5 }
probe inside : activations { run = base, at = "blocks.*.mixer.out", every = 2 }
probe back : gradients { run = base, at = ["embed", "head"], reduce = "rms", every = 3 }
grid sweep {
  base = base
  over { model.width = [8, 16] }
  seeds = range(2)
  name = f"w{model.width}-s{seed}"
}
plot curve : line { from = sweep, x = step, y = [loss.train, loss.valid], color = model.width, file = "out/curve.svg" }
plot best : line { from = sweep, x = model.params, y = held_out.loss }
plot sites : line { from = inside, x = step, y = rms, color = module, facet = seed, where = model.width == 8 }
"""


def lmc(*arguments: str, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmc.compiler.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    if check is not None:
        assert done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def write(folder: Path, spec: str = SPEC) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60, encoding="utf-8")
    (folder / "case.lmspec").write_text(spec, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which everything was run once, and what was printed."""
    folder = write(tmp_path_factory.mktemp("finished") / "work")
    lmc("compile", "case.lmspec", cwd=folder)
    return folder, lmc("run", cwd=folder).stdout


def nodes(folder: Path) -> dict[str, dict[str, object]]:
    found = {}
    for path in (folder / "runs").glob("*/node.json"):
        data = json.loads(path.read_text())
        found[path.parent.name] = data
    return found


def test_everything_is_done_and_shown(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert {data["status"] for data in nodes(folder).values()} == {"done"}
    assert "case: 4 runs; 0 of 23 nodes done" in printed
    for words in ("w8-s0", "w16-s1", "held_out.loss", "figure   curve", "table    runs/case.csv", "a sample:"):
        assert words in printed, words
    assert (folder / "out" / "curve.svg").is_file()
    header = (folder / "runs" / "case.csv").read_text().splitlines()[0].split(",")
    assert {"name", "model.width", "seed", "model.params", "held_out.loss", "loss.train"} <= set(header)


def test_figures_are_drawn_from_the_records(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    for data_folder, data in nodes(folder).items():
        if data["kind"] == "plot":
            assert data["summary"]["lines"] > 0, data["name"]  # type: ignore[index]
            assert (folder / "runs" / data_folder / "figure.png").stat().st_size > 5000


def test_probes_and_evaluations_recorded_while_training(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    found = nodes(folder)
    steps = {}
    for name, data in found.items():
        for file in ("scores.jsonl", "recordings.jsonl"):
            path = folder / "runs" / name / file
            if path.exists():
                steps[str(data["name"])] = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps["w8-s0 held_out"] == [2, 4, 6]
    assert steps["w8-s0 words"] == [6]
    assert steps["w8-s0 inside"] == [1, 2, 4, 6]
    assert steps["w8-s0 back"] == [1, 1, 3, 3, 6, 6]


def test_a_second_run_does_nothing_again(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs").glob("*/node.json")}
    printed = lmc("run", cwd=folder).stdout
    assert "23 of 23 nodes done" in printed
    assert {p: p.stat().st_mtime_ns for p in (folder / "runs").glob("*/node.json")} == before


def test_a_figure_is_where_the_plot_wants_it_after_every_run(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    shutil.copytree(finished[0], folder)
    drawn = (folder / "out" / "curve.svg").read_bytes()
    (folder / "out" / "curve.svg").unlink()
    lmc("run", cwd=folder)
    assert (folder / "out" / "curve.svg").read_bytes() == drawn
    printed = lmc("run", "case.lmspec", "--set", 'curve.file="elsewhere/curve"', cwd=folder).stdout
    assert "(and .svg, elsewhere/curve.svg, elsewhere/curve.png)" in printed
    assert (folder / "elsewhere" / "curve.svg").read_bytes() == drawn
    assert (folder / "elsewhere" / "curve.png").is_file()
    (folder / "elsewhere" / "blocked").write_text("")
    refused = lmc("run", "case.lmspec", "--set", 'curve.file="elsewhere/blocked/c.svg"', cwd=folder, check=1)
    assert "LM0804" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_grown_grid_only_does_what_is_missing(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "grown"
    shutil.copytree(finished[0], folder)
    (folder / "case.lmspec").write_text(SPEC.replace("range(2)", "range(3)"), encoding="utf-8")
    done = lmc("run", "case.lmspec", "sweep", cwd=folder)
    trained = [line for line in done.stdout.splitlines() if "train base done" in line]
    assert sorted(line.split()[0] for line in trained) == ["w16-s2", "w8-s2"]


def test_the_index_can_be_made_again(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(finished[0], folder)
    store = RunStore(folder / "runs")
    before = store.summaries()
    (folder / "runs" / "index.sqlite").unlink()
    assert store.summaries() == before
    assert len(before) == 23


def test_generate_continues_a_prompt_and_samples_by_seed(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    arguments = ("generate", "w8-s0", "--prompt", "the ", "--max-tokens", "8", "--temperature", "1")
    one, two = (lmc(*arguments, "--seed", "3", cwd=folder).stdout for _ in range(2))
    assert one == two
    assert one.startswith("the ")
    empty = lmc("generate", "w8-s0", "--prompt", "", cwd=folder, check=1)
    assert empty.stderr.startswith("error[LM0810]: the prompt is empty")
    missing = lmc("generate", "nobody", "--prompt", "x", cwd=folder, check=1)
    assert "LM0809" in missing.stderr


def test_why_and_explain_tell(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    assert "axis of grid `sweep`" in lmc("why", "case.lmspec", "sweep.model.width", cwd=folder).stdout
    assert "Right:" in lmc("explain", "lm0203", cwd=folder).stdout
    lmc("explain", "LM9999", cwd=folder, check=2)


def test_a_probe_that_came_late_needs_a_replay(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "late"
    shutil.copytree(finished[0], folder)
    late = SPEC + 'probe late : activations { run = base, at = "head", reduce = "mean", every = 3 }\n'
    (folder / "case.lmspec").write_text(late, encoding="utf-8")
    before = {p: p.read_bytes() for p in (folder / "runs").glob("*/model.safetensors")}
    refused = lmc("run", "case.lmspec", cwd=folder, check=3)
    assert "--replay" in refused.stderr
    lmc("run", "case.lmspec", "--replay", cwd=folder)
    assert {p: p.read_bytes() for p in (folder / "runs").glob("*/model.safetensors")} == before


ONE = SPEC.split("eval held_out")[0]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("layers", "layer"), "LM0203", "did you mean `layers`"),
        (("steps = 6", "steps = 6s"), "LM0302", "got a Duration"),
        (("heads = 2", "heads = 3"), "LM0401", "do not divide"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    change: tuple[str, str], code: str, words: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "work", ONE.replace(*change))
    done = lmc("run", "case.lmspec", cwd=folder, check=1)
    assert f"error[{code}]" in done.stderr
    assert words in done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["book.txt", "case.lmspec"]


def test_a_missing_file_is_told_before_anything_is_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    (folder / "book.txt").unlink()
    done = lmc("run", "case.lmspec", cwd=folder, check=1)
    assert "error[LM0701]" in done.stderr
    assert not (folder / "runs").exists()


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    (folder / "runs").write_text("a file", encoding="utf-8")
    done = lmc("run", "case.lmspec", cwd=folder, check=1)
    assert "error[LM0804]" in done.stderr
    assert (folder / "runs").read_text() == "a file"


def test_a_damaged_plan_an_unknown_block_and_no_plan_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    assert "LM0803" in lmc("run", cwd=folder, check=1).stderr
    lmc("compile", "case.lmspec", cwd=folder)
    assert "LM0807" in lmc("run", "build/case", "bsae", cwd=folder, check=1).stderr
    plan = folder / "build" / "case" / "plan.jsonl"
    plan.write_text(plan.read_text()[:-30])
    assert "LM0801" in lmc("run", cwd=folder, check=1).stderr


def test_a_changed_source_is_compiled_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    lmc("compile", "case.lmspec", cwd=folder)
    (folder / "case.lmspec").write_text(ONE.replace("steps = 6", "steps = 3"), encoding="utf-8")
    done = lmc("run", cwd=folder)
    assert "compiling it again" in done.stderr
    (folder_name,) = [name for name, data in nodes(folder).items() if data["kind"] == "train"]
    assert (folder / "runs" / folder_name / "checkpoints" / "step-3").is_dir()


def test_a_failing_node_stops_only_what_needs_it(tmp_path: Path) -> None:
    wild = (
        ONE + "train wild : base { optim.lr = 1e30, optim.clip = none, steps = 50 }\ntrain calm : base { steps = 4 }\n"
    )
    wild += "eval of_wild : loss { run = wild }\neval of_calm : loss { run = calm }\n"
    folder = write(tmp_path / "work", wild)
    done = lmc("run", "case.lmspec", cwd=folder, check=3)
    assert "error[LM0901]" in done.stderr
    assert "train wild" in done.stderr
    states = {str(d["name"]): d["status"] for d in nodes(folder).values()}
    assert states["wild"] == "failed"
    assert states["calm"] == states["calm of_calm"] == "done"
    assert states["wild of_wild"] != "done"
    assert "eval of_wild not run: it needs train wild" in done.stdout


FULL = """
import resource, sys
from lmc.runtime import worker

say, left = worker.print_event, int(sys.argv[1])

def emit(event):
    global left
    say(event)
    left -= event.kind in ("step", "done")
    if not left:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

worker.print_event = emit
sys.exit(worker.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("left", [1, 6, 7])
def test_a_store_that_can_no_longer_be_written_is_told_and_the_same_command_goes_on(left: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE + "eval held_out : loss { run = base, examples = 4 }\n")
    lmc("compile", "case.lmspec", cwd=folder)
    command = [sys.executable, "-c", FULL, str(left), "build/case", "--device", "cpu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    (failed,) = [event for event in map(json.loads, done.stdout.splitlines()) if event["kind"] == "failed"]
    assert failed["name"] == ("base held_out" if left == 7 else "base")
    assert "File too large" in failed["data"]["message"] or "cannot be written" in failed["data"]["message"]
    assert not list(folder.glob("runs/**/.*.tmp"))
    lmc("run", cwd=folder)
    assert {str(data["status"]) for data in nodes(folder).values()} == {"done"}
    (records,) = folder.glob("runs/*/records.jsonl")
    assert [json.loads(line)["step"] for line in records.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_a_worker_that_saw_a_node_as_new_does_not_undo_what_another_did_since(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    lmc("run", "case.lmspec", cwd=folder)
    (path,) = folder.glob("runs/*/node.json")
    before = path.read_bytes()
    program = """
import sys
from lmc.runtime import worker
from lmc.runtime.session import Session

current, seen = Session.folder, set()

def folder(session, node_id):
    found = current(session, node_id)
    if node_id not in seen:  # as it was before the other process came
        seen.add(node_id)
        found.data = {}
    return found

Session.folder = folder
sys.exit(worker.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", program, "build/case", "--device", "cpu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert path.read_bytes() == before


LONG = ONE.replace("steps = 6", "steps = 4000").replace("log = 1", "log = 5")


def wait_for(path: Path, pattern: str, lines: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if any(len(p.read_text().splitlines()) >= lines for p in path.glob(pattern)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{pattern} did not come")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_checkpoints_and_the_same_command_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    folder = write(tmp_path / "work", LONG)
    command = [sys.executable, "-m", "lmc.compiler.cli", "run", "case.lmspec", "--jobs", "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        wait_for(folder, "runs/*/records.jsonl", 3)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 75, printed
    assert "run again to go on" in printed
    (checkpoint,) = folder.glob("runs/*/checkpoints/step-*")
    step = int(checkpoint.name[5:])
    assert 0 < step < 4000
    assert "resumes" not in printed
    going_on = lmc("run", "case.lmspec", "--jobs", "1", "--set", "base.limits.wall=1s", cwd=folder, check=None)
    assert f"resumes at step {step:,}\n" in going_on.stdout


def test_two_runs_on_one_store_share_the_work(tmp_path: Path) -> None:
    folder = write(tmp_path / "work")
    command = [sys.executable, "-m", "lmc.compiler.cli", "run", "case.lmspec", "--jobs", "1"]
    both = [subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    trained = [line for text in printed for line in text.splitlines() if "train base done" in line]
    assert len(trained) == 4, printed
    assert {data["status"] for data in nodes(folder).values()} == {"done"}


def test_a_plan_runs_without_the_compiler(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", ONE)
    lmc("compile", "case.lmspec", cwd=folder)
    program = (
        "import sys; sys.modules['lark'] = None; sys.modules['lmc.compiler'] = None\n"
        "from lmc.runtime.worker import main; sys.exit(main(['build/case', '--store', 'elsewhere']))"
    )
    (folder / "elsewhere").mkdir()
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["kind"] for event in events][-1] == "done"
    assert os.listdir(folder / "elsewhere")
