"""The compiled step: the same losses as the plain one, the same bits wherever a run goes on from and whoever looks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve
from support.training import job_in, losses, same, weights

from lmc.runtime.probes.observer import ProbeObserver
from lmc.runtime.training import autotune, compiled, warm
from lmc.runtime.training.job import Interrupted, TrainJob
from lmc.runtime.training.loop import train
from lmc.spec.codec import unstructure
from lmc.spec.probe import ActivationsProbe, GradientsProbe
from lmc.spec.records import Execution
from lmc.spec.train import Precision
from lmc.spec.units import Steps


def _has_compiler() -> bool:
    try:
        compiled.compiler_version(torch.device("cpu"))
    except Exception:
        return False
    return True


needs_compiler = pytest.mark.skipif(not _has_compiler(), reason="torch.compile needs a C++ compiler")

ELSEWHERE = """
import sys
from pathlib import Path
from support.training import job_in
from lmc.runtime.training.loop import train
import json
from lmc.spec.codec import structure
from lmc.spec.records import Execution
from attrs import evolve

record = structure(json.loads(sys.argv[2]), Execution)
train(evolve(job_in(Path(sys.argv[1])), execution=record))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is compiled is compiled once for all tests here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def run(job: TrainJob) -> Execution:
    kept: list[Execution] = []
    train(evolve(job, keep=kept.append))
    return kept[0]


@pytest.fixture(scope="module")
def chosen(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainJob, Execution]:
    """Return a run whose arithmetic was compiled because that was measured to pay, and its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(autotune, "FEWEST_STEPS", 1)
        patch.setattr(autotune, "WORTH_COMPILING", 0.0)
        patch.setattr(autotune, "COMPILING", -1e9)  # it pays whatever the machine is doing
        job = job_in(tmp_path_factory.mktemp("chosen"))
        return job, run(job)


@pytest.mark.slow
@needs_compiler
def test_losses_are_those_of_the_plain_step(chosen: tuple[TrainJob, Execution], tmp_path: Path) -> None:
    (fast, record), plain = chosen, job_in(tmp_path / "plain")
    assert record.compile
    assert "compiler" in record.versions
    assert not run(plain).compile
    assert losses(fast.folder) == pytest.approx(losses(plain.folder), rel=1e-5)
    for name, value in weights(fast.folder).items():
        torch.testing.assert_close(value, weights(plain.folder)[name], rtol=0, atol=2e-3)


@pytest.mark.long
@needs_compiler
def test_in_bfloat16_losses_are_those_of_the_plain_step(tmp_path: Path) -> None:
    compiled, plain = (
        job_in(tmp_path / name, precision=Precision(compute="bf16"), compile=name == "compiled")
        for name in ("compiled", "plain")
    )
    said: list[str] = []
    assert run(evolve(compiled, warn=said.append)).compile, said
    assert not run(plain).compile
    assert losses(compiled.folder) == pytest.approx(losses(plain.folder), rel=1e-2)


@pytest.mark.slow
@needs_compiler
def test_going_on_in_another_process_changes_no_bit(chosen: tuple[TrainJob, Execution], tmp_path: Path) -> None:
    (whole, record), cut = chosen, job_in(tmp_path / "cut")
    asked = iter(range(1, 13))
    with pytest.raises(Interrupted):
        train(evolve(cut, execution=record, stop=lambda: next(asked) == 5))
    command = [sys.executable, "-c", ELSEWHERE, str(cut.folder), json.dumps(unstructure(record))]
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)
    assert losses(cut.folder) == losses(whole.folder)
    assert same(weights(cut.folder), weights(whole.folder))


@pytest.mark.slow
@needs_compiler
def test_looking_changes_no_bit_and_sees_what_the_plain_step_shows(
    chosen: tuple[TrainJob, Execution], tmp_path: Path
) -> None:
    seen: dict[str, list[dict[str, object]]] = {}

    def watched(name: str, **changes: object) -> TrainJob:
        job, lines = job_in(tmp_path / name, **changes), seen.setdefault(name, [])
        kinds = (ActivationsProbe, GradientsProbe)
        probes = [kind(run="r", at=("embed", "blocks.*", "head"), every=Steps(4)) for kind in kinds]
        return evolve(job, observers=[ProbeObserver(probe, lines.append) for probe in probes])

    alone, looked_at = chosen[0], watched("looked", compile=True)
    run(looked_at)
    run(watched("plain"))
    assert losses(alone.folder) == losses(looked_at.folder)
    assert same(weights(alone.folder), weights(looked_at.folder))
    assert len(seen["looked"]) == len(seen["plain"]) > 0
    for mine, theirs in zip(seen["looked"], seen["plain"], strict=True):
        assert (mine["step"], mine["module"]) == (theirs["step"], theirs["module"])
        assert mine["stats"] == pytest.approx(theirs["stats"], rel=1e-3, abs=1e-6)


def test_what_was_compiled_for_trainings_of_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "KEPT", 2)
    for age, key in enumerate("abc"):
        folder = compiled.folder_of(key)
        os.utime(folder, (1e9 - age, 1e9 - age))
    assert compiled.folder_of("b").is_dir()
    kept = {path.name for path in folder.parent.iterdir()}
    assert "b" in kept
    assert "c" not in kept
    assert len(kept) == 2


def test_without_a_compiler_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(device: torch.device) -> str:
        raise RuntimeError("no g++ here\nand a trace")

    monkeypatch.setattr(warm, "compiler_version", missing)
    said: list[str] = []
    job = evolve(job_in(tmp_path / "run", compile=True), warn=said.append)
    assert not run(job).compile
    assert said == ["the step cannot be compiled here (no g++ here); it runs as it is"]
    assert len(losses(job.folder)) == 12
