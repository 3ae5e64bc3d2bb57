"""The profile: what it says adds up, and looking costs no bit."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from support.training import MODEL, TRAIN, Sentences, job_in, losses, same, steps_kept, weights

from lmc.compiler.cli import main
from lmc.runtime.data.text import TextDataset
from lmc.runtime.events import Event
from lmc.runtime.progress import describe
from lmc.runtime.training import clock, loop, machine
from lmc.runtime.training.loop import train
from lmc.runtime.training.meter import work_of
from lmc.runtime.training.profile_report import report
from lmc.runtime.training.sizes import slots_seen
from lmc.runtime.training.step import step_batches
from lmc.spec.data import Text
from lmc.spec.diagnostic import LmcError
from lmc.spec.estimate import estimate
from lmc.spec.records import TrainRecord
from lmc.spec.schedule import Constant
from lmc.spec.train import Every, Profile
from lmc.spec.units import FilePath, Steps


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_profile_and_a_trace_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = job_in(tmp_path / "plain")
    train(plain)
    monkeypatch.setattr(clock, "INTERVAL", 2)
    monkeypatch.setattr(clock, "FIRST", 0)
    seen = job_in(tmp_path / "seen", profile=Profile(steps=(3, 7)))
    train(seen)
    assert losses(plain.folder) == losses(seen.folder)
    assert same(weights(plain.folder), weights(seen.folder))
    assert not (plain.folder / "traces").exists()
    assert sorted(path.name for path in (seen.folder / "traces").iterdir()) == ["step-3.json", "step-7.json"]
    events = json.loads((seen.folder / "traces" / "step-3.json").read_text())["traceEvents"]
    assert any(event.get("name") == "aten::mm" for event in events)
    assert [line["step"] for line in lines(seen.folder / "profile.jsonl")] == [2, 4, 6, 8, 10, 12]


def test_parts_are_within_the_step(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", steps=120, every=Every(log=10, checkpoint=30))
    train(job)
    first, second = lines(job.folder / "profile.jsonl")
    assert (first["step"], first["steps"], second["step"], second["steps"]) == (10, 10, 110, 100)
    assert second["checkpoint"] > 0
    for line in (first, second):
        parts = [line[part] for part in ("data", "forward", "backward", "optimizer")]
        assert all(part > 0 for part in parts)
        assert line["memory"] > 2**20
        assert sum(parts) < 20 * line["seconds"]
    text = report(job.folder)
    assert "backward" in text
    assert "mean of 110 steps; 2 steps were timed by part" in text
    shares = [float(row.split("%")[0].split()[-1]) for row in text.splitlines()[1:8]]
    assert sum(shares) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("whole", [True, False], ids=["behind a checkpoint", "while one is made"])
def test_a_run_that_goes_on_has_each_line_once(whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "INTERVAL", 2)
    monkeypatch.setattr(clock, "FIRST", 0)
    job, save = job_in(tmp_path / "run", every=Every(log=1, checkpoint=2)), loop.Loop._save

    def killed(self: loop.Loop, step: int) -> None:
        if whole or step < 4:
            save(self, step)
        if step == 4:
            self.saver.wait()
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Loop, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(job)
    monkeypatch.setattr(loop.Loop, "_save", save)
    assert steps_kept(job.folder) == ([2, 4] if whole else [2])
    train(job)
    found = lines(job.folder / "profile.jsonl")
    assert [line["step"] for line in found] == [2, 4, 6, 8, 10, 12]
    assert [line["steps"] for line in found] == [2] * 6
    assert all(line["checkpoint"] > 0 for line in found if line["step"] > (6 if whole else 4))


def test_a_run_that_is_too_short_has_no_profile(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", steps=3)
    train(job)
    with pytest.raises(LmcError, match="has no profile") as caught:
        report(job.folder)
    assert caught.value.diagnostic.code == "LM0809"


def test_the_work_of_a_step_is_counted_by_hand() -> None:
    batches = step_batches(Sentences(), TRAIN, 0, 2)
    lengths = [int(n) - 1 for batch in batches for n in batch.layout.lengths]
    trained = sum(len(batch.targets) for batch in batches)
    matmul = 3 * (4 * 16 * 16 + 3 * 16 * 48)
    work = work_of(MODEL, batches)
    assert (work.tokens, work.loss_tokens) == (sum(lengths), trained)
    attention = sum(6 * 3 * n * 16 * n for n in lengths)
    assert work.flops == 6 * matmul * sum(lengths) + 6 * 31 * 16 * trained + attention

    for window, sinks in ((5, 0), (4, 2), (1000, 0)):
        mixer = evolve(MODEL.mixer, window=window, sinks=sinks)
        found = work_of(evolve(MODEL, mixer=mixer), batches).flops - (work.flops - attention)
        # Twice the area under min(keys, window + sinks) over the queries of a text, which for all keys is n n.
        near = [min(n, window + sinks) for n in lengths]
        assert found == sum(6 * 3 * 16 * (2 * n * r - r * r) for n, r in zip(lengths, near, strict=True))
        assert found <= attention


@pytest.mark.parametrize("window", [None, 5])
def test_a_text_counts_the_tokens_and_operations_that_were_planned(tmp_path: Path, window: int | None) -> None:
    model = evolve(MODEL, mixer=evolve(MODEL.mixer, window=window))
    ids = (np.arange(500) % 31).astype(np.uint16)
    data = Text(source=FilePath("book.txt"), tokenizer="t", seq_len=16)
    text = TextDataset(data, {"train": ids, "valid": ids}, np.ones(31, dtype=np.int32))
    job = job_in(tmp_path / "run", tokens=12 * 6 * 16)
    seen: list[TrainRecord] = []
    done = train(evolve(job, model=model, dataset=text, report=seen.append))
    planned = estimate(job.spec, lambda node_id: {"m": model, "d": data}[node_id])
    assert done.tokens == done.loss_tokens == planned.tokens == job.spec.tokens == slots_seen(job.spec, [16])[-1]
    assert [record.tokens for record in seen] == [6 * 16 * step for step in range(1, 13)]
    assert seen[-1].tokens_per_second == pytest.approx(6 * 16 / (seen[-1].seconds - seen[-2].seconds), rel=1e-3)
    steps = [work_of(model, step_batches(text, job.spec, done, None)) for done in range(12)]
    assert sum(step.flops for step in steps) == planned.flops

    half = evolve(job.spec, length_schedule=Constant(), batch_schedule=Constant(warmup=Steps(6)))
    job = evolve(job_in(tmp_path / "half"), spec=half, model=model, dataset=text, seq_lens=(16,))
    assert train(job).tokens == slots_seen(half, [16])[-1] == (1 + 2 + 3 + 4 + 5 + 6 * 7) * 16


def test_records_tell_rate_utilisation_and_memory(tmp_path: Path) -> None:
    seen: list[TrainRecord] = []
    train(evolve(job_in(tmp_path / "run"), report=seen.append))
    limit = machine.matmul_limit(torch.device("cpu"), torch.float32)
    for number, (before, after) in enumerate(pairwise(seen), 1):
        flops = work_of(MODEL, step_batches(Sentences(), TRAIN, number, None)).flops
        assert after.mfu == pytest.approx(flops / (after.seconds - before.seconds) / limit, rel=1e-6)
        assert 0 < after.mfu < 1
        assert after.memory > 2**20


def test_the_limit_of_the_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    limit = machine.matmul_limit(cpu, torch.float32)
    assert limit > 1e8
    assert list(json.loads((tmp_path / "cache" / "lmc" / "machine.json").read_text()).values()) == [limit]
    monkeypatch.setattr(machine, "_measure", lambda device, dtype: 0.0)
    assert machine.matmul_limit(cpu, torch.float32) == limit
    (tmp_path / "cache" / "lmc" / "machine.json").write_text("{ torn")
    assert machine.matmul_limit(cpu, torch.float32) == 0.0


def test_a_cache_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert train(job_in(tmp_path / "run", steps=2)).step == 2


def test_the_command_names_a_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "nobody", "--store", str(tmp_path)]) == 1
    assert "no run is called `nobody`" in capsys.readouterr().err + capsys.readouterr().out


def test_progress_tells_loss_rate_utilisation_and_time_left() -> None:
    data = {"step": 1000, "steps": 5000, "loss": 2.5, "tokens_per_second": 54321.0, "mfu": 0.314, "seconds_left": 150.0}
    text = describe(Event("step", "i", "train base", "base", data))
    assert text == "step 1,000/5,000  loss 2.5000  54,321 tokens/s  MFU 31.4 %  2 min left"
    unknown = {**data, "mfu": None, "seconds_left": None}
    text = describe(Event("step", "i", "train base", "base", unknown))
    assert text == "step 1,000/5,000  loss 2.5000  54,321 tokens/s"
