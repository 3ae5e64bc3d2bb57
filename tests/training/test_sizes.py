"""Schedules of batch and length: which examples, and how much of them, each step reads; brute force is the judge."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stages import Numbered, staged_job
from support.training import job_in, losses, same, weights

from lmc.runtime.data.batch import Batch, Example, collate, cropped
from lmc.runtime.data.order import draws, mix
from lmc.runtime.training import autotune, sizes
from lmc.runtime.training.job import Interrupted, TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.schedule import value_at, whole_values
from lmc.runtime.training.sizes import BLOCK, Sizes, slots_seen
from lmc.runtime.training.stages import stages_of
from lmc.runtime.training.step import read_batches
from lmc.spec.schedule import Constant, Cosine, Linear, Product, Schedule, StepTable, WarmupStableDecay
from lmc.spec.train import Every, Train
from lmc.spec.units import Steps

RISING = Product(parts={"up": StepTable(at=(1, 7), factors=(0.2, 1.0)), "down": Linear(warmup=Steps(2), floor=3.0)})
SCHEDULES: list[Schedule] = [
    Constant(warmup=Steps(5)),
    Cosine(warmup=Steps(3), floor=2.0),
    WarmupStableDecay(warmup=Steps(4), cooldown=Steps(5), shape="sqrt"),
    StepTable(at=(1, 4, 9), factors=(0.25, 0.5, 1.0), between="constant"),
    RISING,
]
LENGTH = 12


def sized_job(folder: Path, **changes: Any) -> TrainJob:
    """Return a training of twelve steps over sixty texts of twelve ids and the one that follows."""
    job = job_in(folder, **{"every": Every(log=Steps(1), checkpoint=Steps(1)), **changes})
    return evolve(job, dataset=Numbered(60, LENGTH + 1), seq_lens=[LENGTH])


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def wanted(spec: Train, peak: int, schedule: Schedule | None, least: int) -> list[int]:
    """Return the sizes of all steps, one by one, by Python's rounding."""
    if schedule is None:
        return [peak] * spec.num_steps()
    values = (value_at(schedule, float(peak), step, spec.num_steps()) for step in range(1, spec.num_steps() + 1))
    return [max(least, round(value)) for value in values]


def flat(batches: list[Batch]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the ids and the trained targets of the rows of micro-batches."""
    for batch in batches:
        slots = batch.tokens.shape[1]
        for row, length in enumerate(batch.layout.lengths.tolist()):
            yield batch.tokens[row, :length].tolist(), batch.targets[batch.loss_index // slots == row].tolist()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("order", ["shuffle", "replace"])
def test_steps_read_the_examples_behind_those_of_the_steps_before(
    schedule: Schedule, order: str, tmp_path: Path
) -> None:
    job = sized_job(tmp_path, batch=16, batch_schedule=schedule, length_schedule=SCHEDULES[0], seed=3)
    data = evolve(job.dataset, order=order)  # type: ignore[misc]
    (stage,) = stages_of(evolve(job, dataset=data))
    batches, lengths = wanted(job.spec, 16, schedule, 1), wanted(job.spec, LENGTH, SCHEDULES[0], 2)
    assert len(set(batches)) > 2
    seed, place = mix(mix(data.seed) ^ mix(job.spec.seed + 1)), 0
    for step, (batch, length) in enumerate(zip(batches, lengths, strict=True), 1):
        assert (stage.place(step), stage.batch(step), stage.length(step)) == (place, batch, length)
        got = read_batches(data, job.spec, stage.place(step), stage.batch(step), 5, length=stage.length(step))
        examples = [data.example("train", draw).tokens.tolist() for draw in draws(order, seed, place, batch, 60)]  # type: ignore[arg-type]
        rows = [(ids[: length + 1], ids[1 : length + 1]) for ids in examples]
        assert sorted(flat(got)) == sorted(rows)
        assert {micro.n_loss for micro in got} == {float(batch * length)}
        place += batch
    assert stage.place(job.spec.num_steps() + 1) == sum(batches)


@given(st.integers(1, 40), st.integers(1, 30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_cropped_example_trains_what_its_first_tokens_predict(n: int, length: int, trained: list[bool]) -> None:
    mask = np.array([*trained[: min(n, 30) - 1], False])
    example = Example(np.arange(len(mask), dtype=np.int32), mask)
    found = cropped(example, length)
    assert found.tokens.tolist() == list(range(min(len(mask), length + 1)))
    assert [i for i, t in enumerate(found.trained) if t] == [i for i in range(min(len(mask), length)) if mask[i]]
    (batch,) = collate([found]) if found.trained.any() else (None,)
    assert batch is None or batch.n_loss == len(batch.targets)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 600), st.integers(1, 9), st.sampled_from(SCHEDULES), st.integers(0, 8), st.integers(1, 4))
def test_whole_values_are_those_of_the_steps_one_by_one(
    peak: int, count: int, schedule: Schedule, before: int, least: int
) -> None:
    found = whole_values(schedule, peak, least, range(before + 1, before + 1 + count), 17)
    one_by_one = (value_at(schedule, float(peak), before + 1 + i, 17) for i in range(count))
    assert found.tolist() == [max(min(least, peak), round(value)) for value in one_by_one]


def test_a_million_steps_are_soon_counted(tmp_path: Path) -> None:
    job = sized_job(tmp_path, steps=Steps(10**6), batch=64, batch_schedule=Cosine(warmup=Steps(1000)))
    (stage,) = stages_of(job)
    began = time.process_time()
    whole = stage.place(10**6 + 1)
    assert time.process_time() - began < 10
    assert whole == pytest.approx(64 * 1e6 / 2, rel=0.01)
    began = time.process_time()
    for step in range(1, 10**6, 1000):
        stage.place(step), stage.batch(step)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_sums_are_those_of_all_steps_wherever_one_begins_to_ask(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "BLOCK", 4)
    monkeypatch.setattr(sizes, "BLOCKS_KEPT", 2)
    values = [max(1, round(value_at(schedule, 16.0, step, 30))) for step in range(3, 26)]
    sums = [0, *accumulate(values)]
    for order in (range(24), range(23, -1, -1), [20, 3, 8, 23, 0, 12, 13, 4]):
        found = Sizes(schedule, 16, 1, first=3, count=23, whole=30)
        assert [found.before(number) for number in order] == [sums[number] for number in order]
        assert [found.of(number) for number in range(23)] == values
        assert len(found.inside) <= 2


def test_threads_find_the_same_sums() -> None:
    found = Sizes(Cosine(warmup=Steps(100)), 64, 1, first=1, count=5 * BLOCK, whole=5 * BLOCK)
    alone = evolve(found, sums={0: 0}, inside={})
    asked = [4 * BLOCK + 7, 3 * BLOCK, 5 * BLOCK, 17] * 4
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(found.before, asked)) == [alone.before(number) for number in asked]


@pytest.mark.parametrize("size", ["batch_schedule", "length_schedule", "stages"])
def test_ten_billion_steps_need_no_room(size: str, tmp_path: Path) -> None:
    many = 10**10
    changes: dict[str, Any] = {} if size == "stages" else {size: Cosine(warmup=Steps(10**6))}
    job = staged_job(tmp_path) if size == "stages" else sized_job(tmp_path, steps=Steps(many), batch=64, **changes)
    if size == "stages":
        stages = tuple(evolve(stage, steps=Steps(many)) for stage in job.spec.stages)
        job = evolve(job, spec=evolve(job.spec, steps=Steps(3 * many), stages=stages, batch_schedule=None))
    tracemalloc.start()
    first, last = stages_of(job)[0], stages_of(job)[-1]
    asked = [(first.place(step), first.batch(step), first.length(step)) for step in (1, 2, 10**5)]
    end = (last.batch(last.last), last.length(last.last))
    done = slots_seen(job.spec, job.seq_lens)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 2**20
    mean = LENGTH * 64 / 2 * many
    if size == "batch_schedule":
        assert asked[0] == (0, 1, None)
        assert asked[2] == (sum(max(1, round(64 * step / 10**6)) for step in range(1, 10**5)), 6, None)
        assert end == (1, None)
        assert done[-1] == pytest.approx(mean, rel=5e-3)
    elif size == "length_schedule":
        assert asked == [(0, 64, 2), (64, 64, 2), (64 * (10**5 - 1), 64, 2)]
        assert end == (64, 2)
        assert done[-1] == pytest.approx(mean + LENGTH * 64 * 2 * many / LENGTH / 8, rel=0.1)
    else:
        assert asked == [(0, 6, None), (6, 6, None), (6 * (10**5 - 1), 6, None)]
        assert (last.first, end) == (0, (2, None))
        assert done[-1] == many * (6 * 12 + 3 * 24 + 2 * 12)
        assert done[many + 1] == many * 6 * 12 + 3 * 24
    assert len(done) == job.spec.num_steps() + 1
    with pytest.raises(IndexError):
        done[len(done)]


def test_what_is_left_of_a_long_run_is_near_what_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = sized_job(tmp_path, steps=Steps(5000), batch=64, batch_schedule=RISING, length_schedule=SCHEDULES[1])
    exact = list(slots_seen(job.spec, [LENGTH]))
    batches, lengths = wanted(job.spec, 64, RISING, 1), wanted(job.spec, LENGTH, SCHEDULES[1], 2)
    assert exact == [0, *accumulate(batch * length for batch, length in zip(batches, lengths, strict=True))]
    monkeypatch.setattr(sizes, "POINTS", 1000)
    near = list(slots_seen(job.spec, [LENGTH]))
    assert len(near) == len(exact)
    assert near == pytest.approx(exact, abs=0.002 * exact[-1])


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_training_reads_counts_and_resumes_as_the_sizes_say(micro_batch: int | None, tmp_path: Path) -> None:
    changes = {"batch": 10, "batch_schedule": RISING, "length_schedule": Constant(warmup=Steps(6))}
    job = sized_job(tmp_path / "whole", micro_batch=micro_batch, **changes)
    train(job)
    batches, lengths = wanted(job.spec, 10, RISING, 1), wanted(job.spec, LENGTH, changes["length_schedule"], 2)  # type: ignore[arg-type]
    trained = np.cumsum([b * length for b, length in zip(batches, lengths, strict=True)])
    assert [record["tokens"] for record in told(job.folder)] == trained.tolist()
    assert [record["loss_tokens"] for record in told(job.folder)] == trained.tolist()
    assert list(slots_seen(job.spec, [LENGTH])) == [0, *trained.tolist()]
    stopped = sized_job(tmp_path / "stopped", micro_batch=micro_batch, **changes)
    for last in (3, 8):
        with pytest.raises(Interrupted):
            train(evolve(stopped, stop=lambda last=last: told(stopped.folder)[-1]["step"] == last))
    train(stopped)
    assert losses(stopped.folder) == losses(job.folder)
    assert same(weights(stopped.folder), weights(job.folder))


def test_a_schedule_that_is_always_at_its_peak_changes_no_bit(tmp_path: Path) -> None:
    plain = sized_job(tmp_path / "plain")
    flat_ = sized_job(tmp_path / "flat", batch_schedule=Constant(), length_schedule=Constant())
    train(plain)
    train(flat_)
    assert losses(plain.folder) == losses(flat_.folder)
    assert same(weights(plain.folder), weights(flat_.folder))


def test_micro_batches_are_tried_where_sizes_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "WORTH", 0.0)
    monkeypatch.setattr(autotune, "GAIN", 0.0)
    kept: list[int] = []
    job = sized_job(tmp_path / "run", steps=Steps(100), batch=8, batch_schedule=SCHEDULES[1], every=Every())
    train(evolve(job, keep=lambda execution: kept.append(execution.micro_batch)))
    assert kept[0] in (0, 1, 2, 4, 8)
    assert told(job.folder)[-1]["tokens"] == LENGTH * sum(wanted(job.spec, 8, SCHEDULES[1], 1))


def test_micro_batches_change_only_the_last_bits(tmp_path: Path) -> None:
    found = []
    for micro_batch in (1, 16):
        job = sized_job(tmp_path / str(micro_batch), batch=9, batch_schedule=SCHEDULES[1], micro_batch=micro_batch)
        train(job)
        found.append(losses(job.folder))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("blocks", [(0, 0, 0), (0, 1, 0)])
def test_stages_go_on_behind_what_their_steps_have_read(blocks: tuple[int, int, int], tmp_path: Path) -> None:
    job = staged_job(tmp_path, sizes=(60, 60, 60), blocks=blocks, batch_schedule=Linear(warmup=Steps(4)))
    done, before = {0: 0, 1: 0}, 0
    for stage, told_, steps in zip(stages_of(job), job.spec.stages, (5, 4, 3), strict=True):
        for step in range(before + 1, before + steps + 1):
            batch = max(1, round(value_at(Linear(warmup=Steps(4)), float(told_.batch), step, 12)))
            assert (stage.place(step), stage.batch(step)) == (done[told_.block], batch)
            done[told_.block] += batch
        before += steps
    train(job)
    assert told(job.folder)[-1]["step"] == 12


def test_ranks_share_a_cropped_step(tmp_path: Path) -> None:
    class Text(Numbered):
        def trained(self, split: str, draw: Any) -> int:
            return LENGTH

    data = Text(60, LENGTH + 1)
    spec = sized_job(tmp_path).spec
    whole = read_batches(data, spec, 17, 7, None, length=5)
    parts = [read_batches(data, spec, 17, 7, None, length=5, rank=rank, ranks=3) for rank in range(3)]
    assert sorted(row for part in parts for row in flat(part)) == sorted(flat(whole))
    assert {batch.n_loss for part in parts for batch in part} == {35.0}
    with pytest.raises(ValueError, match="a step of 2 examples cannot be shared by 3 ranks"):
        read_batches(data, spec, 0, 2, None, ranks=3)
