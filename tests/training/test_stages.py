"""Stages of a training: data, positions, batches and rates of each step, and that going on equals not stopping."""

import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from attrs import evolve
from support.stages import LEARNT, staged_job
from support.training import MODEL, job_in, losses, same, weights

from lmc.runtime.models.build import build_model, replace_positions
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.training import autotune
from lmc.runtime.training.job import Interrupted, Origin, TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.resume import load_model
from lmc.runtime.training.schedule import value_at
from lmc.runtime.training.sizes import slots_seen
from lmc.runtime.training.stages import stage_at, stages_of
from lmc.spec.codec import structure, unstructure
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Alibi, Nope, Rope
from lmc.spec.records import Execution
from lmc.spec.schedule import Constant, Cosine
from lmc.spec.train import Train
from lmc.spec.units import Steps

ROOT = Path(__file__).parent.parent.parent
Array = npt.NDArray[np.float64]


def final(job: TrainJob, step: int | None = None) -> TransformerModel:
    """Return the model of a checkpoint of a staged job, with the positions of its step."""
    last = int(job.spec.steps) if step is None else step
    return load_model(job.folder, stages_of(job)[stage_at(job.spec, last)].model, job.placement, step)


def test_a_step_belongs_to_a_stage_by_its_number_alone(tmp_path: Path) -> None:
    spec = staged_job(tmp_path / "a").spec
    assert [stage_at(spec, step) for step in range(14)] == [0] * 6 + [1] * 4 + [2] * 3 + [2]
    assert [stage_at(Train(model="m", data="d", steps=3, batch=1), step) for step in (0, 1, 3)] == [0, 0, 0]


@pytest.mark.parametrize("sizes", [(60, 60, 60), (60, 15, 7), (61, 14, 60), (7, 240, 13)])
def test_stages_of_one_block_go_on_by_passes(sizes: tuple[int, int, int], tmp_path: Path) -> None:
    for blocks in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 2)):
        job = staged_job(tmp_path / "a", sizes=sizes, blocks=blocks)
        done: dict[int, Fraction] = {}
        for stage, told, size in zip(stages_of(job), job.spec.stages, sizes, strict=True):
            before = done.get(told.block, Fraction(0))
            assert before <= Fraction(stage.first, size) < before + Fraction(1, size)
            done[told.block] = Fraction(stage.first + told.steps * told.batch, size)
        if len(set(sizes)) == 1 and set(blocks) == {0}:
            assert [stage.first for stage in stages_of(job)] == [0, 30, 42]


def test_nothing_is_read_twice_in_a_pass(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a", sizes=(60, 60, 60), blocks=(0, 0, 0))
    read = job.staged[0][0].drawn  # type: ignore[attr-defined]
    read.clear()
    train(job)
    assert len(read) == 5 * 6 + 4 * 3 + 3 * 2
    assert [draw.number for draw in read] == list(range(48))
    assert len({draw.index for draw in read}) == 48


def test_a_moved_block_begins_at_its_beginning_and_goes_on_when_it_comes_back(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a", sizes=(60, 60, 60), blocks=(1, 0, 1))
    train(job)
    assert [stage.first for stage in stages_of(job)] == [0, 0, 30]


def test_rates_follow_the_whole_or_the_stage(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a", schedule=Cosine(warmup=2), own=Cosine(warmup=1, floor=1e-4))
    train(job)
    rates = {r["step"]: r["lr"] for r in map(json.loads, (job.folder / "records.jsonl").read_text().splitlines())}
    for step in range(1, 13):
        if step <= 5 or step > 9:
            assert rates[step] == value_at(Cosine(warmup=2), 3e-3, step, 12)
        else:
            assert rates[step] == value_at(Cosine(warmup=1, floor=1e-4), 1e-3, step - 5, 4)


def numpy_logits(model: TransformerModel, tokens: list[int], theta: float, factor: float = 1.0) -> Array:
    """Return logits of a model by numpy alone, with rotary positions of a base, divided by a factor."""
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}

    def norm(x: Array, gain: Array) -> Array:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gain

    def turned(x: Array) -> Array:
        half = x.shape[-1] // 2
        angle = np.arange(len(x))[:, None] / factor * theta ** -(np.arange(half) / half)
        a, b = x[:, :half], x[:, half:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    x = w["embed.weight"][tokens]
    for layer in range(MODEL.layers):
        part = {n.removeprefix(f"blocks.{layer}."): v for n, v in w.items() if n.startswith(f"blocks.{layer}.")}
        y = norm(x, part["mixer_norm.gain"])
        q, k, v = (y @ part[f"mixer.{name}.weight"].T for name in "qkv")
        heads = []
        for head in (slice(0, 8), slice(8, 16)):
            scores = turned(q[:, head]) @ turned(k[:, head]).T / math.sqrt(8)
            scores[np.triu_indices(len(tokens), 1)] = -np.inf
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ v[:, head])
        x = x + np.concatenate(heads, -1) @ part["mixer.o.weight"].T
        y = norm(x, part["mlp_norm.gain"])
        gate, up = y @ part["mlp.gate.weight"].T, y @ part["mlp.up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ part["mlp.down.weight"].T
    found: Array = norm(x, w["norm.gain"]) @ w["unembed.weight"].T
    return found


class Looks:
    """Keeps the logits that a training's model gives before and after each step, with its weights."""

    tokens = tuple(range(3, 23))

    def __init__(self) -> None:
        self.first: dict[int, tuple[Array, Array, Array]] = {}
        self.then: dict[int, tuple[Array, Array, Array]] = {}

    def due(self, step: int, last: int) -> bool:
        return True

    def look(self, model: TransformerModel) -> tuple[Array, Array, Array]:
        with torch.no_grad():
            got = model(torch.tensor([list(self.tokens)]), SequenceLayout.rows([len(self.tokens)]))[0].double().numpy()
        return got, numpy_logits(model, list(self.tokens), 10_000.0), numpy_logits(model, list(self.tokens), 37.0, 4.0)

    def before(self, step: int, model: TransformerModel) -> None:
        self.first[step] = self.look(model)

    def after(self, step: int, model: TransformerModel) -> None:
        self.then[step] = self.look(model)


def test_each_stage_turns_by_its_own_positions(tmp_path: Path) -> None:
    looks = Looks()
    job = staged_job(tmp_path / "a")
    train(evolve(job, observers=[looks]))
    assert sorted(looks.first) == sorted(looks.then) == list(range(1, 13))
    for found in (looks.first, looks.then):
        for step, (got, plain, scaled) in found.items():
            right, wrong = (scaled, plain) if 5 < step <= 9 else (plain, scaled)
            np.testing.assert_allclose(got, right, atol=2e-5)
            assert np.abs(got - wrong).max() > 1e-3
    got, plain, scaled = looks.look(final(job, 9))
    np.testing.assert_allclose(got, scaled, atol=2e-5)
    assert json.loads((job.folder / "params.json").read_text())["positions"]["theta"] == 10_000.0


@pytest.mark.parametrize("positions", [LEARNT, Alibi(), Nope()])
def test_positions_are_replaced_without_a_trace(positions: Rope | Alibi | Nope, tmp_path: Path) -> None:
    job = job_in(tmp_path / "a")
    other = evolve(MODEL, positions=positions)
    tokens, layout = torch.arange(3, 23)[None], SequenceLayout.rows([20])
    model, fresh = build_model(MODEL, job.placement, 3), build_model(other, job.placement, 3)
    sites = model.sites()
    replace_positions(model, other)
    assert model.sites() == sites
    assert torch.equal(model(tokens, layout), fresh(tokens, layout))
    replace_positions(model, MODEL)
    assert torch.equal(model(tokens, layout), build_model(MODEL, job.placement, 3)(tokens, layout))
    assert not torch.equal(model(tokens, layout), fresh(tokens, layout))
    assert same(model.state_dict(), fresh.state_dict())


def test_stages_equal_trainings_one_behind_the_other(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "staged", schedule=Constant(), blocks=(0, 1, 2))
    train(job)
    before: Path | None = None
    for number, stage in enumerate(stages_of(job)):
        alone = TrainJob(
            spec=stage.spec,
            model=stage.model,
            dataset=stage.dataset,
            placement=job.placement,
            folder=job_in(tmp_path / f"alone{number}").folder,
            origin=None if before is None else Origin(before, int(job.spec.stages[number - 1].steps), True),
        )
        train(alone)
        at = stage.before + int(stage.spec.steps)
        assert same(final(job, at).state_dict(), load_model(alone.folder, stage.model, job.placement).state_dict())
        for step, loss in losses(alone.folder).items():
            assert losses(job.folder)[stage.before + step] == loss
        before = alone.folder


def test_a_train_of_one_stage_is_the_train(tmp_path: Path) -> None:
    plain = job_in(tmp_path / "plain")
    train(plain)
    job = staged_job(tmp_path / "one")
    (told, *_) = job.spec.stages
    one = evolve(
        job,
        spec=evolve(plain.spec, stages=(evolve(told, steps=12),), staged_data=("d",), staged_models=("m",)),
        staged=[(plain.dataset, MODEL)],
        seq_lens=[23],
    )
    train(one)
    assert same(weights(plain.folder), weights(one.folder))
    assert losses(plain.folder) == losses(one.folder)


@pytest.mark.parametrize("at", [1, 4, 5, 6, 8, 9, 10, 11])
def test_going_on_equals_not_stopping(at: int, tmp_path: Path) -> None:
    whole = staged_job(tmp_path / "whole", ema=0.9)
    train(whole)
    stopped = staged_job(tmp_path / "stopped", ema=0.9)
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(stopped, stop=lambda: next(calls) == at))
    train(stopped)
    assert same(final(whole).state_dict(), final(stopped).state_dict())
    assert losses(whole.folder) == losses(stopped.folder)
    assert (whole.folder / "params.json").read_text() == (stopped.folder / "params.json").read_text()


KILLER = """
import os, signal, sys
from pathlib import Path
import torch
from attrs import evolve
from support.stages import staged_job
from lmc.runtime.training.loop import train

torch.set_num_threads(1)

class Kill:
    def __init__(self, step, when):
        self.step, self.when = step, when
    def due(self, step, last):
        return step == self.step
    def before(self, step, model):
        self.strike("before")
    def after(self, step, model):
        self.strike("after")
    def strike(self, now):
        if now == self.when:
            os.kill(os.getpid(), signal.SIGKILL)

moments = [(2, "before"), (5, "after"), (6, "before"), (6, "after"), (9, "after"), (10, "before"), (12, "after")]
for step, when in moments:
    child = os.fork()
    if child == 0:
        train(evolve(staged_job(Path(sys.argv[1])), observers=[Kill(step, when)]))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (step, when, status)
"""


def test_killing_inside_stages_and_at_their_borders_changes_no_bit(tmp_path: Path) -> None:
    killed, whole = staged_job(tmp_path / "killed"), staged_job(tmp_path / "whole")
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", KILLER, str(killed.folder)], capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    train(killed)
    train(whole)
    assert same(final(killed).state_dict(), final(whole).state_dict())
    assert losses(killed.folder) == losses(whole.folder)


def test_a_run_that_is_done_keeps_the_positions_of_its_last_stage(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a")
    spec = evolve(job.spec, steps=9, stages=job.spec.stages[:2])
    short = evolve(job, spec=spec, staged=job.staged[:2], seq_lens=job.seq_lens[:2])
    for _ in range(2):
        train(short)
        assert json.loads((job.folder / "params.json").read_text())["positions"]["theta"] == 37.0


def test_micro_batches_are_chosen_for_each_stage_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, Rope]] = []

    def tuned(job: TrainJob, model: TransformerModel) -> int:
        asked.append((job.spec.batch, model.spec.positions))  # type: ignore[arg-type]
        return job.spec.micro_batch or job.spec.batch // 2

    monkeypatch.setattr(autotune, "tuned", tuned)
    kept: list[Execution] = []
    job = staged_job(tmp_path / "a")
    train(evolve(job, keep=kept.append))
    assert asked == [(6, Rope()), (3, LEARNT), (2, Rope())]
    assert (kept[0].micro_batch, kept[0].staged) == (3, (3, 1, 1))
    asked.clear()
    again = staged_job(tmp_path / "b")
    train(evolve(again, execution=kept[0], keep=kept.append))
    assert asked == []
    assert kept[1] == kept[0]
    assert same(final(job).state_dict(), final(again).state_dict())
    set_now = evolve(again.spec.stages[1], micro_batch=2)
    spec = evolve(again.spec, stages=(again.spec.stages[0], set_now, again.spec.stages[2]))
    third = staged_job(tmp_path / "c")
    train(evolve(third, spec=spec, execution=kept[0], keep=kept.append))
    assert kept[2].staged == (3, 2, 1)
    assert "micro_batch of a stage 1 -> 2" in (third.folder / "seams.jsonl").read_text()


def test_going_on_where_a_stage_sets_its_own_micro_batch_is_no_seam(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a", micro_batch=3)
    first, *rest = job.spec.stages
    stages = (evolve(first, micro_batch=2), *(evolve(stage, micro_batch=1) for stage in rest))
    job = evolve(job, spec=evolve(job.spec, stages=stages))
    kept: list[Execution] = []
    with pytest.raises(Interrupted):
        train(evolve(job, keep=kept.append, stop=lambda: True))
    said: list[str] = []
    train(evolve(job, execution=kept[0], keep=kept.append, warn=said.append))
    assert kept[1] == kept[0]
    assert said == []
    assert not (job.folder / "seams.jsonl").exists()


def test_records_of_before_there_were_stages_are_read() -> None:
    told = unstructure(
        Execution(
            device="cpu",
            micro_batch=4,
            row_layout="l",
            threads=1,
            attention="sdpa",
            compile=False,
            flush_denormals=True,
        )
    )
    del told["staged"]
    assert structure(told, Execution).staged == ()


def test_what_is_not_finite_names_examples_of_the_stage(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a", sizes=(60, 60, 60), blocks=(0, 0, 0))

    class Spoil:
        def due(self, step: int, last: int) -> bool:
            return step == 7

        def before(self, step: int, model: TransformerModel) -> None:
            model.head_site.register_forward_hook(lambda module, args, logits: logits * float("inf"))

        def after(self, step: int, model: TransformerModel) -> None:
            pass

    with pytest.raises(LmcError, match="at step 7, examples 33 to 35"):
        train(evolve(job, observers=[Spoil()]))


def test_tokens_of_all_stages_are_counted_and_tell_the_time_left(tmp_path: Path) -> None:
    job = staged_job(tmp_path / "a")
    stopped = staged_job(tmp_path / "b")
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(stopped, stop=lambda: next(calls) == 7))
    whole, resumed = train(job), train(stopped)
    lengths = [len(data.example("train", draw).tokens) - 1 for data, _ in job.staged for draw in list(data.drawn)]  # type: ignore[attr-defined]
    assert whole.tokens == resumed.tokens == sum(lengths)
    spec = job.spec
    done = slots_seen(spec, job.seq_lens)
    assert done[0] == 0
    assert done[12] == sum(stage.tokens for stage in spec.stages)
    assert done[7] == spec.stages[0].tokens + spec.stages[1].tokens / 2
    assert slots_seen(evolve(spec, stages=()), [12])[7] == 7 * spec.batch * 12
    many = slots_seen(evolve(spec, stages=(), steps=Steps(10**13)), [12])  # no array would fit
    assert many[-1] == 10**13 * spec.batch * 12
