"""Probes: what they record equals hooks placed by hand, and nothing of them stays."""

from typing import Any

import pytest
import torch

from lmc.runtime.data.batch import Example, collate
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.probes.observer import ProbeObserver, select
from lmc.runtime.training.loss import batch_loss
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.probe import ActivationsProbe, GradientsProbe
from lmc.spec.units import Steps

SITES = ("embed", "blocks.*.mixer.out", "head")


@pytest.fixture
def model(cpu: Placement) -> TransformerModel:
    mixer = Attention(heads=2, kv_heads=2)
    return build_model(Transformer(vocab=30, layers=2, width=8, mixer=mixer, mlp=SwiGLU(hidden=8)), cpu, 0)


def step(model: TransformerModel) -> None:
    generator = torch.Generator().manual_seed(0)
    examples = []
    for length in (5, 9, 7):
        trained = torch.ones(length, dtype=torch.bool)
        trained[-1] = False
        tokens = torch.randint(0, 30, (length,), generator=generator).int()
        examples.append(Example(tokens.numpy(), trained.numpy()))
    for batch in collate(examples, 2):
        batch_loss(model, batch).backward()


@pytest.mark.parametrize("kind", [ActivationsProbe, GradientsProbe])
def test_recordings_equal_hooks_by_hand(kind: Any, model: TransformerModel) -> None:
    by_hand: dict[str, list[torch.Tensor]] = {}
    handles = []
    for name, site in select(model.sites(), SITES).items():

        def keep(module: Any, args: Any, out: torch.Tensor, name: str = name) -> None:
            if kind is ActivationsProbe:
                by_hand.setdefault(name, []).append(out.detach().clone())
            else:
                out.register_hook(lambda grad, name=name: by_hand.setdefault(name, []).append(grad.clone()))

        handles.append(site.register_forward_hook(keep))
    step(model)
    for handle in handles:
        handle.remove()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    written: list[dict[str, Any]] = []
    observer = ProbeObserver(kind(run="r", at=SITES, every=Steps(2)), written.append)
    observer.before(4, model)
    step(model)
    observer.after(4, model)
    assert {line["module"] for line in written} == {"embed", "blocks.0.mixer.out", "blocks.1.mixer.out", "head"}
    for line in written:
        values = torch.cat([t.double().flatten() for t in by_hand[line["module"]]])
        assert line["step"] == 4
        assert line["stats"]["mean"] == pytest.approx(float(values.mean()), rel=1e-12, abs=1e-15)
        assert line["stats"]["rms"] == pytest.approx(float(values.square().mean().sqrt()), rel=1e-12)
        assert line["stats"]["absmax"] == float(values.abs().max())
    again = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    assert not any(site._forward_hooks for site in model.sites().values())


def test_due_steps() -> None:
    observer = ProbeObserver(ActivationsProbe(run="r", at=("head",), every=Steps(5)), lambda line: None)
    assert [s for s in range(1, 16) if observer.due(s, 15)] == [1, 5, 10, 15]


def test_an_unknown_site_is_told_with_its_nearest(model: TransformerModel) -> None:
    with pytest.raises(LmcError) as caught:
        select(model.sites(), ("blocks.*.mixr.out",))
    assert caught.value.diagnostic.code == "LM0506"
    assert ".mixer.out`?" in caught.value.diagnostic.help
