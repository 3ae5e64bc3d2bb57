"""Precision and activation checkpointing: what may change bits, and what must not."""

from pathlib import Path

import pytest
import torch
from attrs import evolve
from support.training import MODEL, TRAIN, Sentences, job_in, losses, same, weights

from lmc.runtime.data.batch import Batch
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.precision import computing, dtypes
from lmc.runtime.training.remat import rematerialise
from lmc.runtime.training.step import step_batches
from lmc.spec.diagnostic import LmcError
from lmc.spec.identity import identity
from lmc.spec.model import GatedRecurrence
from lmc.spec.train import Precision, Remat

BF16 = torch.bfloat16


def batches(micro_batch: int = 2) -> list[Batch]:
    return step_batches(Sentences(), TRAIN, 0, micro_batch)


def gradients(model: TransformerModel, spec: Precision, cpu: Placement) -> list[torch.Tensor]:
    with computing(model, dtypes(spec, cpu)) as total:
        for batch in batches():
            batch_loss(model, batch).backward()
            total.add()
    return [p.grad for p in model.parameters() if p.grad is not None]


def test_gradients_of_a_lower_precision_are_those_of_a_model_of_that_dtype_summed_in_single(cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = gradients(model, Precision(compute="bf16"), cpu)
    assert all(g.dtype == torch.float32 for g in found)
    assert same(before, model.state_dict())

    half = build_model(MODEL, cpu, 0).to(BF16)
    half.rope.reset_parameters()
    wanted = [torch.zeros_like(p, dtype=torch.float32) for p in half.parameters()]
    for batch in batches():
        logits = half.head(half.hidden(batch.tokens, batch.layout).flatten(0, 1)[batch.loss_index]).float()
        loss = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum") / batch.n_loss
        for total, part in zip(wanted, torch.autograd.grad(loss, list(half.parameters())), strict=True):
            total += part.float()
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=2**-7, atol=1e-5)


def test_reducing_in_half_rounds_each_partial_sum(cpu: Placement) -> None:
    single = gradients(build_model(MODEL, cpu, 0), Precision(), cpu)
    rounded = gradients(build_model(MODEL, cpu, 0), Precision(reduce="bf16"), cpu)
    assert all(torch.equal(g, g.to(BF16).float()) for g in rounded)
    for a, b in zip(single, rounded, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(
    "precision",
    [
        Precision(compute="bf16"),
        Precision(params="bf16", compute="bf16"),
        Precision(params="bf16", compute="bf16", reduce="bf16"),
        Precision(params="bf16"),
    ],
)
def test_a_training_in_lower_precision_learns_and_resumes_to_the_bit(tmp_path: Path, precision: Precision) -> None:
    plain = job_in(tmp_path / "plain", steps=60)
    train(plain)
    lower = job_in(tmp_path / "lower", steps=60, precision=precision)
    train(lower)
    assert losses(lower.folder)[60] < 0.9 * losses(lower.folder)[1]
    assert losses(lower.folder)[60] == pytest.approx(losses(plain.folder)[60], rel=0.15)
    assert losses(lower.folder)[60] != losses(plain.folder)[60]

    half_way = job_in(tmp_path / "stopped", steps=60, precision=precision)
    calls = iter(range(1, 100))
    with pytest.raises(Exception, match="stopped at step 31"):
        train(evolve(half_way, stop=lambda: next(calls) == 31))
    train(half_way)
    assert losses(half_way.folder) == losses(lower.folder)
    assert same(weights(half_way.folder), weights(lower.folder))


def test_parameters_of_half_precision_are_kept_as_such(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    job = job_in(tmp_path / "run", precision=Precision(params="bf16", compute="bf16"))
    train(job)
    kept = load_file(job.folder / "model.safetensors")
    assert {value.dtype for value in kept.values()} == {BF16}
    assert same(weights(job.folder), {name: value.float() for name, value in kept.items()})


def test_single_precision_changes_no_identity() -> None:
    assert identity(TRAIN) == identity(evolve(TRAIN, precision=Precision(), non_finite="stop"))
    assert identity(TRAIN) != identity(evolve(TRAIN, precision=Precision(compute="bf16")))
    assert identity(TRAIN) == identity(evolve(TRAIN, remat=Remat(blocks=("blocks.*",))))


REMATS = [
    Remat(blocks=("blocks.*",)),
    Remat(blocks=("blocks.*",), save=("mixer.out",)),
    Remat(blocks=("blocks.1",), save=("mlp.out",)),
]


@pytest.mark.parametrize("remat", REMATS, ids=["full", "mixer.out", "one block"])
@pytest.mark.parametrize("mixer", [MODEL.mixer, GatedRecurrence()], ids=["attention", "gated"])
def test_computing_activations_again_changes_no_bit(cpu: Placement, remat: Remat, mixer: object) -> None:
    spec = evolve(MODEL, mixer=mixer)

    def run(again: bool) -> tuple[list[float], list[torch.Tensor]]:
        model = build_model(spec, cpu, 0)
        if again:
            rematerialise(model, remat)
        found = [batch_loss(model, batch) for batch in batches()]
        sum(found).backward()
        return [float(loss.detach()) for loss in found], [p.grad for p in model.parameters() if p.grad is not None]

    (plain, wanted), (losses_, got) = run(False), run(True)
    assert plain == losses_
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


@pytest.mark.parametrize("remat", REMATS[:2], ids=["full", "mixer.out"])
def test_computing_again_keeps_fewer_activations(cpu: Placement, remat: Remat) -> None:
    def saved(again: bool) -> int:
        model, sizes = build_model(MODEL, cpu, 0), {}
        if again:
            rematerialise(model, remat)

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        (batch,) = batches(6)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = batch_loss(model, batch)
        assert loss.requires_grad
        return sum(sizes.values())

    assert saved(True) < 0.5 * saved(False)


def test_a_probe_sees_each_activation_once(cpu: Placement) -> None:
    model = build_model(MODEL, cpu, 0)
    rematerialise(model, Remat(blocks=("blocks.*",)))
    seen: list[str] = []
    for name, site in model.sites().items():
        site.register_forward_hook(lambda module, args, output, name=name: seen.append(name))
    (batch,) = batches(6)
    batch_loss(model, batch).backward()
    assert sorted(seen) == sorted(model.sites())


def test_training_with_activations_computed_again_equals_training_without(tmp_path: Path) -> None:
    plain, again = job_in(tmp_path / "plain"), job_in(tmp_path / "again", remat=REMATS[1])
    train(plain)
    train(again)
    assert losses(plain.folder) == losses(again.folder)
    assert same(weights(plain.folder), weights(again.folder))


def test_a_pattern_that_names_no_block_is_refused(cpu: Placement) -> None:
    with pytest.raises(LmcError, match=r"no block `blocks\.7`") as caught:
        rematerialise(build_model(MODEL, cpu, 0), Remat(blocks=("blocks.7",)))
    assert caught.value.diagnostic.code == "LM0506"
