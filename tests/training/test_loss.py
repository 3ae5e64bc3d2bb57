"""The loss against torch's cross entropy and a written-out z-loss; chunks against the whole."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attrs import evolve

from lmc.runtime.data.batch import Batch, Example, collate
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.training import loss as module
from lmc.runtime.training.loss import batch_loss
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.train import Loss

SPEC = Transformer(vocab=37, layers=1, width=16, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=24))
EXACT = Placement(torch.device("cpu"), torch.float64)
LOSSES = [Loss(), Loss(z=1e-2), Loss(smoothing=0.2), Loss(z=3e-3, smoothing=0.1)]


def prepared(tied: bool = False) -> tuple[TransformerModel, Batch]:
    rng = np.random.default_rng(5)
    examples = []
    for length in (9, 13, 14):
        tokens = rng.integers(0, 37, length).astype(np.int32)
        examples.append(Example(tokens, rng.random(length) < 0.7))
    (batch,) = collate(examples, 3)
    batch = evolve(batch, weight=torch.from_numpy(rng.random(len(batch.weight)).astype(np.float32)))
    return build_model(evolve(SPEC, tied=tied), EXACT, 1), batch.to(EXACT)


def gradients(model: TransformerModel, value: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    value.backward()
    return {path: p.grad.clone() for path, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("spec", LOSSES)
def test_loss_and_gradients_are_cross_entropy_and_what_is_added(spec: Loss) -> None:
    model, batch = prepared()
    value = batch_loss(model, batch, spec)
    found = gradients(model, value)
    logits = model(batch.tokens, batch.layout).flatten(0, 1)[batch.loss_index]
    each = F.cross_entropy(logits, batch.targets, reduction="none", label_smoothing=spec.smoothing)
    each = each + spec.z * logits.exp().sum(-1).log() ** 2
    want = sum(w * e for w, e in zip(batch.weight, each, strict=True)) / batch.n_loss
    assert torch.allclose(value, want, rtol=0, atol=1e-12)
    for path, gradient in gradients(model, want).items():
        assert torch.allclose(found[path], gradient, rtol=0, atol=1e-12), path


def test_without_a_spec_it_is_plain_cross_entropy_to_the_bit() -> None:
    model, batch = prepared()
    assert torch.equal(batch_loss(model, batch), batch_loss(model, batch, Loss()))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("spec", LOSSES[::3])
def test_chunks_are_the_whole(spec: Loss, rows: int, tied: bool, monkeypatch: Any) -> None:
    model, batch = prepared(tied)
    whole = batch_loss(model, batch, spec)
    want = gradients(model, 3 * whole)
    monkeypatch.setattr(module, "LOGITS_BYTES", rows * 4 * 37)
    sizes: list[int] = []
    handle = model.head_site.register_forward_hook(lambda site, args, logits: sizes.append(len(logits)))
    chunked = batch_loss(model, batch, spec)
    handle.remove()
    assert max(sizes) <= rows
    assert sum(sizes) == len(batch.targets)
    assert torch.allclose(chunked, whole, rtol=0, atol=1e-12)
    found = gradients(model, 3 * chunked)
    assert found.keys() == want.keys()
    for path, gradient in want.items():
        assert torch.allclose(found[path], gradient, rtol=0, atol=1e-6), path
    with torch.inference_mode():
        assert torch.allclose(batch_loss(model, batch, spec), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kept", ["unembed.", "blocks."])
def test_chunks_train_what_is_not_frozen(kept: str, monkeypatch: Any) -> None:
    model, batch = prepared()
    for path, parameter in model.named_parameters():
        parameter.requires_grad_(path.startswith(kept))
    want = gradients(model, batch_loss(model, batch))
    monkeypatch.setattr(module, "LOGITS_BYTES", 4 * 4 * 37)
    found = gradients(model, batch_loss(model, batch))
    assert found.keys() == want.keys() != set()
    for path, gradient in want.items():
        assert torch.allclose(found[path], gradient, rtol=0, atol=1e-6), path


def test_gradients_of_chunks_are_summed_in_single_precision(monkeypatch: Any) -> None:
    model, batch = prepared()
    exact = gradients(model, batch_loss(model, batch))["unembed.weight"]
    model = model.to(torch.bfloat16)
    batch = evolve(batch, weight=batch.weight.bfloat16())
    whole = gradients(model, batch_loss(model, batch))["unembed.weight"]
    monkeypatch.setattr(module, "LOGITS_BYTES", 4 * 37)
    found = gradients(model, batch_loss(model, batch))["unembed.weight"]
    assert (found - exact).norm() < 1.2 * (whole - exact).norm()
