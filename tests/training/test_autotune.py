"""The choice of the micro-batch: only for runs that are worth it, made once, and harmless to the weights."""

from pathlib import Path

import pytest
import torch
from attrs import evolve
from support.training import MODEL, job_in, losses, same, weights

from lmc.runtime.data.batch import Batch
from lmc.runtime.models.build import build_model
from lmc.runtime.training import autotune
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import Arithmetic, batch_loss, summed_loss
from lmc.spec.records import Execution


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rates(found: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let measurements find these rates by the rows of the largest micro-batch; return those that were asked for."""
    asked: list[int] = []

    def rate(job: object, model: object, batches: list[object], seconds: float, by: object = None) -> float:
        size = 0 if len(asked) < 2 else max(len(batch.tokens) for batch in batches)  # type: ignore[attr-defined]
        asked.append(size)
        return found.get(size, found[0])

    monkeypatch.setattr(autotune, "_rate", rate)
    return asked


def test_the_fastest_is_taken_once_it_is_worth_it_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = rates({0: 1.0, 2: 1.5, 4: 1.2}, monkeypatch)
    said: list[str] = []
    job = evolve(job_in(tmp_path / "run", steps=100), warn=said.append)
    model = build_model(MODEL, job.placement, 0)
    assert autotune.tuned(job, model) == 2
    assert {1, 2, 4, 6} <= set(asked)
    assert said == ["micro-batches of 2 examples: 50 % faster on this machine than by length"]
    count = len(asked)
    assert autotune.tuned(job, model) == 2
    assert len(asked) == count


def test_a_small_gain_a_short_run_and_a_given_size_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path / "run", steps=100)
    model = build_model(MODEL, job.placement, 0)
    rates({0: 1.0, 2: 1.04}, monkeypatch)
    assert autotune.tuned(job, model) == 0
    (tmp_path / "cache" / "lmc" / "machine.json").unlink()
    rates({0: 1e6, 2: 2e6}, monkeypatch)
    assert autotune.tuned(job, model) == 0
    asked = rates({0: 1.0, 2: 2.0}, monkeypatch)
    assert autotune.tuned(evolve(job, spec=evolve(job.spec, steps=99)), model) == 0
    assert autotune.tuned(evolve(job, spec=evolve(job.spec, micro_batch=3)), model) == 3
    assert asked == []


@pytest.mark.parametrize(("compiled", "steps", "pays"), [(1.5, 1000, True), (1.05, 1000, False), (1.5, 100, False)])
def test_compiling_is_chosen_where_it_saves_more_than_it_takes(
    compiled: float, steps: int, pays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arithmetic, made = Arithmetic(batch_loss, summed_loss), []

    def rate(job: object, model: object, batches: list[Batch], seconds: float, by: object = None) -> float:
        tokens = sum(int(batch.layout.lengths.sum()) for batch in batches)
        return tokens * (compiled if by is arithmetic else 1.0)  # a step takes a second

    def by() -> Arithmetic:
        made.append(arithmetic)
        return arithmetic

    monkeypatch.setattr(autotune, "_rate", rate)
    job = job_in(tmp_path / "run", steps=steps)
    model = build_model(MODEL, job.placement, 0)
    assert autotune.is_long(job, model, 0) == (steps == 1000)
    assert autotune.compiling_pays(job, model, 0, by) == pays
    assert autotune.compiling_pays(job, model, 0, by) == pays
    assert len(made) == 1


def test_measuring_leaves_the_training_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = job_in(tmp_path / "plain", steps=100)
    kept: list[Execution] = []
    train(evolve(plain, keep=kept.append))
    assert kept[0].micro_batch == 0
    monkeypatch.setattr(autotune, "WORTH", 0.0)
    monkeypatch.setattr(autotune, "GAIN", 0.0)
    (tmp_path / "cache" / "lmc" / "machine.json").unlink()
    tuned = job_in(tmp_path / "tuned", steps=100)
    train(evolve(tuned, keep=kept.append))
    again = job_in(tmp_path / "again", steps=100)
    train(evolve(again, execution=kept[1]))
    assert same(weights(tuned.folder), weights(again.folder))
    assert losses(tuned.folder) == losses(again.folder)
    for name, value in weights(tuned.folder).items():
        torch.testing.assert_close(value, weights(plain.folder)[name], rtol=0, atol=2e-3)
