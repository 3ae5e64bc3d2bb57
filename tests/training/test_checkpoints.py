"""Checkpoints: which stay, that a copy is a copy, and that no fault of a disk loses what was whole."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary
from typing import Any

import pytest
import torch
from attrs import evolve
from safetensors import SafetensorError
from safetensors.torch import load_file
from support.training import MODEL, TRAIN, job_in, losses, same, steps_kept, weights
from torch.distributed.checkpoint.api import CheckpointException

from lmc.runtime.models.build import build_model
from lmc.runtime.placement import Placement
from lmc.runtime.store.files import unwritten
from lmc.runtime.training import checkpoint, ema
from lmc.runtime.training.checkpoint import Snapshot
from lmc.runtime.training.job import Interrupted
from lmc.runtime.training.loop import train
from lmc.runtime.training.saver import Saver, kept, signed
from lmc.spec.diagnostic import LmcError
from lmc.spec.train import Every, Keep, Precision

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("every", "keep", "stay"),
    [
        (None, Keep(), [11, 12]),
        (4, Keep(), [4, 8, 11, 12]),
        (1, Keep(last=1), [12]),
        (1, Keep(last=3), [10, 11, 12]),
        (1, Keep(every=5), [5, 10, 11, 12]),
        (1, Keep(last=1, every=5), [5, 10, 12]),
        (1, Keep(last=1, best="e.loss"), [7, 12]),
    ],
)
def test_the_policy_is_what_it_says(every: int | None, keep: Keep, stay: list[int]) -> None:
    spec = evolve(TRAIN, every=Every(checkpoint=every), keep=keep)
    best = 7 if keep.best else 0
    folders: set[int] = set()
    for step in range(1, 13):
        folders = kept(spec, folders | {step}, best)
        assert step in folders
    assert sorted(folders) == stay


def test_a_run_keeps_what_its_policy_says_and_any_of_them_loads(tmp_path: Path) -> None:
    plain = job_in(tmp_path / "plain", every=Every(log=1, checkpoint=1))
    train(plain)
    assert steps_kept(plain.folder) == list(range(1, 13))
    job = job_in(tmp_path / "run", every=Every(log=1, checkpoint=2), keep=Keep(last=1, every=5))
    train(job)
    assert steps_kept(job.folder) == [5, 10, 12]
    for step in (5, 10, 12):
        assert same(weights(job.folder, step), weights(plain.folder, step))
    with pytest.raises(LmcError, match="keeps no checkpoint of step 4") as caught:
        weights(job.folder, 4)
    assert caught.value.diagnostic.code == "LM0805"


def test_the_best_checkpoint_is_made_where_it_occurs_and_stays_over_a_resume(tmp_path: Path) -> None:
    scores = {2: 5.0, 4: 3.0, 6: float("inf"), 8: 3.5, 10: 3.0}
    keep = Keep(last=1, best="held.loss")
    job = evolve(job_in(tmp_path / "run", keep=keep), score=scores.get)
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(job, stop=lambda: next(calls) == 7))
    assert steps_kept(job.folder) == [4, 7]
    progress = train(job)
    assert (progress.best_step, progress.best) == (4, 3.0)
    assert steps_kept(job.folder) == [4, 12]
    plain = job_in(tmp_path / "plain", every=Every(log=1, checkpoint=4))
    train(plain)
    assert same(weights(job.folder, 4), weights(plain.folder, 4))
    assert losses(job.folder) == losses(plain.folder)


def test_a_metric_is_turned_so_that_smaller_is_better() -> None:
    assert signed("loss", 1.0) < signed("loss", 2.0) < signed("loss", float("nan"))
    assert signed("accuracy", 0.9) < signed("accuracy", 0.2) < signed("accuracy", float("nan"))


def test_a_snapshot_is_not_touched_by_later_steps(tmp_path: Path, cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    sum(p.square().sum() for p in model.parameters()).backward()
    optimizer.step()
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    moment = optimizer.state[model.embed.weight]["exp_avg"].clone()
    taken = checkpoint.snapshot(1, model, optimizer, {})
    optimizer.step()
    path = checkpoint.write(tmp_path, taken)
    other = build_model(MODEL, cpu, 1)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    checkpoint.load(path, other, fresh)
    assert same(other.state_dict(), wanted)
    assert torch.equal(fresh.state[other.embed.weight]["exp_avg"], moment)


def test_looking_at_an_optimiser_that_has_done_nothing_leaves_it_so(tmp_path: Path, cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    path = checkpoint.save(tmp_path, 1, model, optimizer, {"a": 1})
    assert not optimizer.state
    other = build_model(MODEL, cpu, 1)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    assert checkpoint.load(path, other, fresh) == {"a": 1}
    assert same(other.state_dict(), model.state_dict())
    assert not fresh.state


def test_saving_goes_on_in_the_background_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, gate = 0, 0, threading.Event()

    def slow(folder: Path, taken: Snapshot) -> Path:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gate.wait(5)
        (folder / f"step-{taken.step}").mkdir(parents=True)
        running -= 1
        return folder

    monkeypatch.setattr(checkpoint, "write", slow)
    saver = Saver(tmp_path, evolve(TRAIN, keep=Keep(last=1)))
    began = time.monotonic()
    saver.save(Snapshot(1, {}, {}), 0)
    assert time.monotonic() - began < 1
    assert not list(tmp_path.iterdir())
    threading.Timer(0.2, gate.set).start()
    saver.save(Snapshot(2, {}, {}), 0)
    saver.wait()
    assert most == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]


def test_the_old_checkpoint_goes_only_when_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_in(tmp_path / "run", steps=1, keep=Keep(last=1))
    train(job)
    write = checkpoint.write

    def failing(folder: Path, taken: Snapshot) -> Path:
        assert steps_kept(job.folder) == [1]
        raise OSError("no space")

    monkeypatch.setattr(checkpoint, "write", failing)
    longer = evolve(job, spec=evolve(job.spec, steps=4))
    with pytest.raises(OSError, match="no space"):
        train(longer)
    assert steps_kept(job.folder) == [1]
    monkeypatch.setattr(checkpoint, "write", write)
    train(longer)
    assert steps_kept(job.folder) == [4]


def test_a_checkpoint_that_cannot_be_removed_is_a_warning_on_the_main_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(folder: Path, step: int) -> None:
        raise PermissionError("held open")

    said: list[tuple[str, threading.Thread]] = []
    job = job_in(tmp_path / "run", steps=4, every=Every(log=1, checkpoint=1), keep=Keep(last=2))
    monkeypatch.setattr(checkpoint, "remove", failing)
    train(evolve(job, warn=lambda text: said.append((text, threading.current_thread()))))
    assert steps_kept(job.folder) == [1, 2, 3, 4]
    places = [job.folder / "checkpoints" / f"step-{step}" for step in (1, 2)]
    assert [text for text, _ in said] == [f"checkpoint {place} cannot be removed: held open" for place in places]
    assert {thread for _, thread in said} == {threading.main_thread()}


def test_what_is_not_expected_in_the_thread_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(folder: Path, step: int) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(checkpoint, "remove", failing)
    with pytest.raises(RuntimeError, match="a mistake"):
        train(job_in(tmp_path / "run", steps=4, every=Every(log=1, checkpoint=1), keep=Keep(last=2)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    job = job_in(small_disk / "run", every=Every(log=1, checkpoint=1))
    with pytest.raises(LmcError, match="No space left") as caught:
        train(job)
    assert caught.value.diagnostic.code == "LM0903"
    found = steps_kept(job.folder)
    assert 1 < len(found) < 12
    assert all(not checkpoint.damage(job.folder / "checkpoints" / f"step-{step}") for step in found)
    assert not list((job.folder / "checkpoints").glob("*.tmp"))
    remount(small_disk, "size=8m")
    train(job)
    whole = job_in(tmp_path / "whole")
    train(whole)
    assert same(weights(job.folder), weights(whole.folder))
    assert losses(job.folder) == losses(whole.folder)


def test_what_a_library_says_of_a_full_disk_is_told_in_our_words(small_disk: Path, tmp_path: Path) -> None:
    full = "No space left on device"
    position = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22")

    def of_torch(error: BaseException) -> CheckpointException:
        return CheckpointException("save", {0: (error, StackSummary())})

    rust = SafetensorError('I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }')
    newer = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (of_torch(OSError(errno.ENOSPC, full)), rust, newer, of_torch(RuntimeError("[Errno 28] No space"))):
        assert unwritten(error, tmp_path) == full
    position.__cause__ = OSError(errno.EDQUOT, "")
    assert unwritten(of_torch(position), tmp_path) == os.strerror(errno.EDQUOT)
    position.__cause__ = None
    assert unwritten(of_torch(position), tmp_path) == "a file came out shorter than it is"
    (small_disk / "filler").write_bytes(bytes(1_000_000))
    assert unwritten(of_torch(position), small_disk) == full


def test_torch_that_writes_too_little_is_a_message_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*args: Any, **more: Any) -> None:
        raise CheckpointException("save", {0: (RuntimeError("unexpected pos 128 vs 22"), StackSummary())})

    monkeypatch.setattr(checkpoint, "write_state", write)
    with pytest.raises(LmcError) as caught:
        checkpoint.write(tmp_path, Snapshot(3, {}, {}))
    message = f"checkpoint 3 cannot be written to `{tmp_path}`: a file came out shorter than it is"
    assert caught.value.diagnostic.message == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("params", ["fp32", "bf16"])
def test_the_mean_of_the_weights_is_written_as_it_was_kept(tmp_path: Path, params: str) -> None:
    job = job_in(tmp_path / "run", ema=0.8, precision=Precision(params=params))  # type: ignore[arg-type]
    train(job)
    kept = ema.start(build_model(MODEL, job.placement, 0))
    checkpoint.load(job.folder / "checkpoints" / "step-12", build_model(MODEL, job.placement, 0), None, ema=kept)
    written = load_file(job.folder / "model.safetensors")
    assert set(kept) <= set(written)
    for path, value in kept.items():
        assert written[path].dtype == torch.float32
        assert torch.equal(written[path], value)
    rounded = sum(int((value != value.bfloat16().float()).sum()) for value in kept.values())
    assert rounded > sum(value.numel() for value in kept.values()) // 2
    assert written.keys() == load_file(plain(tmp_path) / "model.safetensors").keys()


def plain(folder: Path) -> Path:
    """Return the folder of a run without a mean, whose weights are in bf16."""
    job = job_in(folder / "plain", precision=Precision(params="bf16"), steps=1)
    train(job)
    dtypes = {value.dtype for name, value in load_file(job.folder / "model.safetensors").items() if "weight" in name}
    assert dtypes == {torch.bfloat16}
    return job.folder


def test_a_folder_that_turns_read_only_stops_the_run_and_loses_nothing(small_disk: Path) -> None:
    job = job_in(small_disk / "run", every=Every(log=100, checkpoint=3), steps=12)
    step = iter(range(1, 100))

    def stop() -> bool:
        if next(step) == 4:
            (job.folder / "checkpoints").chmod(0o500)
            shutil.rmtree(job.folder / "checkpoints" / "step-6.tmp", ignore_errors=True)
            (job.folder / "checkpoints" / "step-6.tmp").touch()
        return False

    with pytest.raises(LmcError, match=r"checkpoint 6 cannot be written to .*checkpoints") as caught:
        train(evolve(job, stop=stop))
    assert caught.value.diagnostic.code == "LM0903"
    assert not checkpoint.damage(job.folder / "checkpoints" / "step-3")


LIMITED = """
import resource, signal, sys
from pathlib import Path
from support.training import job_in
from lmc.runtime.training.loop import train
from lmc.spec.diagnostic import LmcError
from lmc.spec.train import Every
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    train(job_in(Path(sys.argv[1]), every=Every(log=1, checkpoint=2)))
except LmcError as error:
    print(error.diagnostic.code, error.diagnostic.message)
    sys.exit(7)
"""


@pytest.mark.slow
def test_a_limit_on_files_is_a_clear_message(tmp_path: Path) -> None:
    def start(limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, str(tmp_path / "run"), str(limit)]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "XDG_CACHE_HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, env=env)

    limited = start(20_000)
    assert limited.returncode == 7, limited.stderr
    assert "LM0903 checkpoint 2 cannot be written" in limited.stdout
    assert steps_kept(tmp_path / "run") == []
    assert start(resource.RLIM_INFINITY).returncode == 0
    assert steps_kept(tmp_path / "run") == [2, 4, 6, 8, 10, 12]
