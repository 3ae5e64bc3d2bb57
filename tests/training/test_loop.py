"""The loop: steps that are not finite, and that nothing which looks changes a bit."""

import json
from pathlib import Path

import pytest
import torch
from attrs import evolve
from safetensors.torch import load_file
from support.training import MODEL, TRAIN, Sentences, job_in, losses, same, weights

from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.training import ema
from lmc.runtime.training.job import Interrupted, TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.schedule import value_at
from lmc.runtime.training.step import SKIPPED_IN_A_ROW, Verdicts, step_batches
from lmc.spec.diagnostic import LmcError
from lmc.spec.identity import identity
from lmc.spec.train import Every, Keep, Profile


class Spoiler:
    """Makes the logits of some steps infinite."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def due(self, step: int, last: int) -> bool:
        return step in self.steps or not self.steps

    def before(self, step: int, model: TransformerModel) -> None:
        self.hook = model.head_site.register_forward_hook(lambda module, args, logits: logits * float("inf"))

    def after(self, step: int, model: TransformerModel) -> None:
        self.hook.remove()


def by_hand(skipped: set[int], cpu: Placement) -> dict[str, torch.Tensor]:
    """Train with torch alone, leaving out the update of some steps."""
    model = build_model(MODEL, cpu, TRAIN.seed)
    vectors = [p for p in model.parameters() if p.ndim < 2]
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, fused=True)
    for step in range(1, 13):
        for batch in step_batches(Sentences(), TRAIN, step - 1, None):
            batch_loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = value_at(TRAIN.schedule, 3e-3, step, 12)
        if step not in skipped:
            optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-5, atol=1e-6)


def test_a_skipped_step_leaves_everything_as_it_was_and_is_counted(tmp_path: Path, cpu: Placement) -> None:
    job = evolve(job_in(tmp_path / "run", non_finite="skip", every=Every(log=1)), observers=[Spoiler(5, 6, 9)])
    progress = train(job)
    assert progress.skipped == 3
    close(weights(job.folder), by_hand({5, 6, 9}, cpu))
    records = [json.loads(line) for line in (job.folder / "records.jsonl").read_text().splitlines()]
    assert [r["skipped"] for r in records] == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 3]
    assert records[5]["loss"] == records[4]["loss"] == records[3]["loss"]


def test_without_a_fault_skipping_changes_no_bit(tmp_path: Path, cpu: Placement) -> None:
    job = job_in(tmp_path / "run", non_finite="skip")
    assert train(job).skipped == 0
    close(weights(job.folder), by_hand(set(), cpu))
    plain = job_in(tmp_path / "plain")
    train(plain)
    assert same(weights(job.folder), weights(plain.folder))


def test_stopping_names_step_and_examples_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", every=Every(log=1, checkpoint=2))
    with pytest.raises(LmcError, match="at step 8, examples 42 to 47") as caught:
        train(evolve(job, observers=[Spoiler(8)]))
    assert caught.value.diagnostic.code == "LM0901"
    whole = job_in(tmp_path / "whole")
    train(whole)
    train(job)
    assert same(weights(job.folder), weights(whole.folder))
    assert losses(job.folder) == losses(whole.folder)


def test_a_run_that_only_skips_is_given_up(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", steps=300, non_finite="skip")
    with pytest.raises(LmcError, match=f"at step {SKIPPED_IN_A_ROW}, .* had no update") as caught:
        train(evolve(job, observers=[Spoiler()]))
    assert caught.value.diagnostic.code == "LM0901"


def test_losses_that_wait_are_judged_in_order() -> None:
    from lmc.runtime.training.job import Progress

    nan, one = torch.tensor(float("nan")), torch.tensor(1.0)
    progress = Progress()
    verdicts = Verdicts(evolve(TRAIN, non_finite="skip"), progress)
    verdicts.waiting += [(1, one, 2 * one), (2, nan, one), (3, 3 * one, 4 * one), (4, one, nan)]
    verdicts.settle()
    assert (progress.loss, progress.norm, progress.skipped, progress.in_a_row) == (3.0, 4.0, 2, 1)
    stopping = Verdicts(TRAIN, Progress())
    stopping.waiting += [(7, one, one), (8, nan, one), (9, one, one)]
    with pytest.raises(LmcError, match="at step 8"):
        stopping.settle()


def test_what_happens_to_a_step_that_is_not_finite_is_meaning() -> None:
    assert identity(TRAIN) != identity(evolve(TRAIN, non_finite="skip"))
    looks = {"keep": Keep(last=1), "profile": Profile(steps=(3,)), "every": Every(log=7)}
    assert identity(TRAIN) == identity(evolve(TRAIN, **looks))


def test_a_running_mean_is_what_is_evaluated_kept_and_resumed(tmp_path: Path, cpu: Placement) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    class Eye:
        def due(self, step: int, last: int) -> bool:
            return True

        def before(self, step: int, model: TransformerModel) -> None:
            pass

        def after(self, step: int, model: TransformerModel) -> None:
            seen.append({name: value.clone() for name, value in model.state_dict().items()})

    raw = job_in(tmp_path / "raw", every=Every(log=1, checkpoint=1))
    train(raw)
    job = evolve(job_in(tmp_path / "run", ema=0.8, every=Every(log=1, checkpoint=4)), observers=[Eye()])
    train(job)
    assert losses(job.folder) == losses(raw.folder)
    total: dict[str, torch.Tensor] = {}
    for step in range(1, 13):
        for name, value in weights(raw.folder, step).items():
            total[name] = 0.8 * total.get(name, torch.zeros_like(value).double()) + value.double()
        norm = sum(0.8**power for power in range(step))
        for name, value in seen[step - 1].items():
            torch.testing.assert_close(value.double(), total[name] / norm, rtol=0, atol=1e-6)
    assert same(weights(job.folder), seen[-1])
    assert same(weights(job.folder, 8), seen[7])
    stopped = job_in(tmp_path / "stopped", ema=0.8)
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(stopped, stop=lambda: next(calls) == 7))
    train(stopped)
    assert same(weights(stopped.folder), weights(job.folder))
    assert same(load_file(stopped.folder / "model.safetensors"), weights(job.folder))


def test_a_skipped_step_has_no_share_in_the_running_mean(tmp_path: Path) -> None:
    every = Every(log=1, checkpoint=1)
    raw = evolve(job_in(tmp_path / "raw", non_finite="skip", every=every), observers=[Spoiler(1, 2, 5)])
    train(raw)
    job = evolve(job_in(tmp_path / "run", non_finite="skip", ema=0.8, every=every), observers=[Spoiler(1, 2, 5)])
    train(job)
    assert same(weights(job.folder, 3), weights(raw.folder, 3))
    assert same(weights(job.folder, 5), weights(job.folder, 4))
    total: dict[str, torch.Tensor] = {}
    for step in (3, 4, 6, 7, 8, 9, 10, 11, 12):
        for name, value in weights(raw.folder, step).items():
            total[name] = 0.8 * total.get(name, torch.zeros_like(value).double()) + value.double()
    norm = sum(0.8**power for power in range(9))
    for name, value in weights(job.folder).items():
        torch.testing.assert_close(value.double(), total[name] / norm, rtol=0, atol=1e-6)


def test_skipping_changes_no_bit_of_a_running_mean_without_a_fault(tmp_path: Path) -> None:
    jobs = [job_in(tmp_path / what, ema=0.8, non_finite=what) for what in ("stop", "skip")]
    for job in jobs:
        train(job)
    assert same(weights(jobs[0].folder), weights(jobs[1].folder))


def test_a_mean_whose_steps_the_device_judges_is_that_of_the_finite_ones(cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    judged, wanted, updates, done = ema.start(model), ema.start(model), torch.zeros((), dtype=torch.float64), 0
    for finite in (False, True, True, False, True):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update_if(torch.tensor(finite), judged, model, 0.9, updates)
        if finite:
            done += 1
            ema.update(wanted, model, 0.9, done)
        assert updates.item() == done
        assert same(judged, wanted)


@pytest.mark.parametrize("stop", [5, 6])
def test_a_run_resumed_within_skipped_steps_goes_on_with_norm_and_count(stop: int, tmp_path: Path) -> None:
    def job(name: str) -> TrainJob:
        made = job_in(tmp_path / name, non_finite="skip", ema=0.8, every=Every(log=1))
        return evolve(made, observers=[Spoiler(5, 6, 7)])

    def kept(name: str) -> list[tuple[float, ...]]:
        found = map(json.loads, (tmp_path / name / "records.jsonl").read_text().splitlines())
        return [(r["step"], r["loss"], r["grad_norm"], r["skipped"]) for r in found]

    train(job("whole"))
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(evolve(job("run"), stop=lambda: next(calls) == stop))
    manifest = json.loads((tmp_path / "run" / "checkpoints" / f"step-{stop}" / "manifest.json").read_text())
    assert manifest["extra"]["in_a_row"] == stop - 4
    train(job("run"))
    assert kept("run") == kept("whole")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_run_that_ended_early_does_not_go_on_when_it_is_asked_again(tmp_path: Path) -> None:
    """As if it had been killed between its last checkpoint and being done."""
    job = evolve(job_in(tmp_path), ends=lambda step: step == 5)
    assert train(job).step == 5
    ended = weights(tmp_path)
    assert list(losses(tmp_path)) == [1, 2, 3, 4, 5]
    assert train(job).step == 5
    assert same(weights(tmp_path), ended)
    whole = job_in(tmp_path / "whole")
    train(whole)
    assert [losses(tmp_path)[step] for step in range(1, 6)] == [losses(whole.folder)[step] for step in range(1, 6)]
