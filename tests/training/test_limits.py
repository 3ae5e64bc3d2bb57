"""Limits of a training: from when time counts, what memory is counted, and how they are told."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from support.training import MODEL, job_in, steps_kept

from lmc.runtime.events import Event
from lmc.runtime.models.build import build_model
from lmc.runtime.progress import describe
from lmc.runtime.training import autotune, limits, warm
from lmc.runtime.training.job import Interrupted
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import Arithmetic, batch_loss, summed_loss
from lmc.runtime.training.memory import STATUS, forget_peak, peak_memory
from lmc.runtime.training.step import step_batches
from lmc.spec.records import Execution
from lmc.spec.train import Limits
from lmc.spec.units import DURATION_SUFFIXES, SIZE_SUFFIXES, written

CPU = torch.device("cpu")


def test_time_counts_from_when_work_on_the_run_began(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", limits=Limits(wall=100.0))
    with pytest.raises(Interrupted) as caught:
        train(evolve(job, began=time.monotonic() - 100))
    assert (caught.value.step, caught.value.limit) == (1, "limits.wall = 100s")
    assert steps_kept(job.folder) == [1]
    assert train(job).step == 12


def test_a_run_that_is_asked_to_stop_says_no_limit(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", limits=Limits(wall=1e-9))
    with pytest.raises(Interrupted) as caught:
        train(evolve(job, stop=lambda: True))
    assert caught.value.limit == ""


def test_no_limit_counts_at_the_last_step(tmp_path: Path) -> None:
    assert train(job_in(tmp_path / "run", steps=1, limits=Limits(wall=1e-9, memory=1))).step == 1


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell what is held at most")
def test_each_training_counts_its_own_memory() -> None:
    held = np.ones(40 * 2**20)
    assert peak_memory(CPU) > held.nbytes
    before = peak_memory(CPU)
    del held
    forget_peak(CPU)
    assert peak_memory(CPU) < before - 200 * 2**20
    held = np.ones(20 * 2**20)
    assert peak_memory(CPU) > held.nbytes


def test_no_micro_batch_is_tried_beyond_what_may_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "WORTH", 0.0)
    monkeypatch.setattr(autotune, "_rate", lambda job, model, batches, seconds: 1.0 + batches[0].tokens.shape[0])
    held: dict[int, int] = {}
    monkeypatch.setattr(autotune, "forget_peak", lambda device: held.update({len(held): 0}))
    monkeypatch.setattr(autotune, "peak_memory", lambda device: 1000 * len(held))

    def chosen(name: str, memory: int | None) -> int:
        held.clear()
        job = job_in(tmp_path / name, steps=100, limits=Limits(memory=memory))
        return autotune.tuned(job, build_model(MODEL, job.placement, 0))

    assert chosen("free", None) == 6
    assert len(held) == 4
    assert chosen("bound", 2500) <= 2
    assert len(held) == 3


class Passes:
    """A clock that stands still but for a minute at each pass that is measured, and what passes were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.made = 0.0, 0
        self.loss = autotune.compiled_loss
        monkeypatch.setattr(limits, "time", self)
        monkeypatch.setattr(autotune, "compiled_loss", self.measured)
        monkeypatch.setattr(autotune, "WORTH", 0.0)

    def monotonic(self) -> float:
        return self.now

    def measured(self, *args: Any) -> torch.Tensor:
        self.made, self.now = self.made + 1, self.now + 60.0
        return self.loss(*args)


@pytest.fixture
def passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Passes:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Passes(monkeypatch)


def test_time_is_up_while_micro_batches_are_measured(tmp_path: Path, passes: Passes) -> None:
    kept: list[Execution] = []
    said: list[str] = []
    job = job_in(tmp_path / "run", steps=100, compile=False, limits=Limits(wall=150.0))
    with pytest.raises(Interrupted) as caught:
        train(evolve(job, began=0.0, keep=kept.append, warn=said.append))
    assert (caught.value.step, caught.value.limit) == (1, "limits.wall = 150s")
    assert 3 <= passes.made < 3 + len(step_batches(job.dataset, job.spec, 0, None))
    assert kept[0].micro_batch == 0
    assert said == [
        "limits.wall = 150s is reached before micro-batches are measured; they are chosen by length",
    ]
    assert "micro-batch" not in (tmp_path / "cache" / "lmc" / "machine.json").read_text()


def test_a_stop_while_something_is_measured_leaves_nothing_chosen(tmp_path: Path, passes: Passes) -> None:
    kept: list[Execution] = []
    job = job_in(tmp_path / "run", steps=100)
    with pytest.raises(Interrupted) as caught:
        train(evolve(job, keep=kept.append, stop=lambda: passes.made >= 1))
    assert (caught.value.step, caught.value.limit) == (0, "")
    assert (kept, steps_kept(job.folder)) == ([], [])
    text = describe(Event("interrupted", "i", "train base", "base", {"step": 0, "limit": ""}))
    assert text == "stopped before its first step; run again to begin"


@pytest.mark.parametrize(("wall", "tried"), [(550.0, True), (90.0, False)])
def test_time_is_up_while_compiling_is_measured(
    wall: float, tried: bool, tmp_path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "FEWEST_STEPS", 1)
    monkeypatch.setattr(autotune, "WORTH_COMPILING", 0.0)
    monkeypatch.setattr(warm, "compiler_version", lambda device: "a compiler")
    compiled: list[float] = []

    def compile(*of: object) -> Arithmetic:
        compiled.append(passes.now)
        passes.now += 600.0
        return Arithmetic(batch_loss, summed_loss)

    monkeypatch.setattr(warm, "_compiled", compile)
    kept: list[Execution] = []
    said: list[str] = []
    job = job_in(tmp_path / "run", micro_batch=6, limits=Limits(wall=wall))
    with pytest.raises(Interrupted):
        train(evolve(job, began=0.0, keep=kept.append, warn=said.append))
    assert not kept[0].compile
    assert len(compiled) == tried
    assert "gain of compiling" not in (tmp_path / "cache" / "lmc" / "machine.json").read_text()
    (told,) = said
    assert told.endswith("the run is not compiled")


@pytest.mark.parametrize(
    ("value", "suffixes", "text"),
    [
        (7200.0, DURATION_SUFFIXES, "2h"),
        (90.0, DURATION_SUFFIXES, "90s"),
        (5400.0, DURATION_SUFFIXES, "90min"),
        (0.25, DURATION_SUFFIXES, "250ms"),
        (86400.0, DURATION_SUFFIXES, "1d"),
        (70 * 2**30, SIZE_SUFFIXES, "70GiB"),
        (1536, SIZE_SUFFIXES, "1.5KiB"),
        (2**40, SIZE_SUFFIXES, "1TiB"),
    ],
)
def test_a_quantity_is_told_as_a_file_writes_it(value: float, suffixes: dict[str, int], text: str) -> None:
    assert written(value, suffixes) == text
