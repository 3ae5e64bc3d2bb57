"""muP: scores and logits in every pass and in exported folders, learning rates, activations that know no width."""

import math
from pathlib import Path

import pytest
import torch
from attrs import evolve

from lmc.runtime.models.build import build_model
from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.inits import lr_factor
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.weights import load_hf
from lmc.runtime.weights.write import save_hf
from lmc.spec.init import Init, InitITL, InitMuP
from lmc.spec.model import Attention, Nope, Rope, SwiGLU, Transformer

SMALL = Transformer(
    vocab=40,
    layers=3,
    width=32,
    mixer=Attention(heads=4, kv_heads=2, bias="all"),
    mlp=SwiGLU(hidden=48, bias=True),
)


def tokens_of(vocab: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, vocab, shape, generator=torch.Generator().manual_seed(7))


MUP = InitMuP(base=8)
MUP_SPECS = {
    "plain": evolve(SMALL, init=MUP, mixer=Attention(heads=4, kv_heads=2)),
    "biased, tied, turns": evolve(SMALL, init=MUP, tied=True, positions=Rope(unit="turns")),
    "wide heads, nope": evolve(
        SMALL, init=MUP, mixer=Attention(heads=4, kv_heads=4, head_dim=20, bias="qkv"), positions=Nope()
    ),
}


def perturbed(spec: Transformer, placement: Placement) -> TransformerModel:
    """A model whose biases and gains differ."""
    model = build_model(spec, placement, 3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("spec", MUP_SPECS.values(), ids=MUP_SPECS)
def test_mup_is_the_plain_model_with_other_queries_and_logits(spec: Transformer, exact: Placement) -> None:
    model, plain = perturbed(spec, exact), build_model(evolve(spec, init=InitITL()), exact, 0)
    plain.load_state_dict(model.state_dict())
    x, layout = tokens_of(40, 2, 9), SequenceLayout.rows([9, 9])
    assert isinstance(spec.mixer, Attention)
    size = spec.mixer.head_dim or 32 // spec.mixer.heads
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if ".mixer.q." in name:
                parameter.mul_(1 / math.sqrt(size))
        wanted = plain(x, layout) * 8 / 32
    torch.testing.assert_close(model(x, layout), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", MUP_SPECS.values(), ids=MUP_SPECS)
def test_cached_decoding_under_mup_equals_uncached(spec: Transformer, exact: Placement) -> None:
    model = perturbed(spec, exact)
    x = tokens_of(40, 2, 10)
    whole = model(x, SequenceLayout.rows([10, 10]))
    one, other = model.new_cache(2, 12), model.new_cache(2, 12)
    for cache in (one, other):
        model(x[:, :4], SequenceLayout.rows([4, 4]), cache)
    decoder, active = Decoder(StepWeights.of(model), one), torch.tensor([True, True])
    assert decoder.blocks
    for t in range(4, 10):
        fast = decoder.step(x[:, t], active, t + 1, even=t % 2 == 0)
        torch.testing.assert_close(fast, whole[:, t], rtol=0, atol=1e-12)
        torch.testing.assert_close(model.step(x[:, t], other, active), whole[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_an_exported_mup_model_is_a_plain_one_with_the_same_logits(tied: bool, tmp_path: Path, cpu: Placement) -> None:
    spec = evolve(SMALL, init=MUP, tied=tied, mixer=Attention(heads=4, kv_heads=2, bias="qkv"), mlp=SwiGLU(hidden=48))
    model = perturbed(spec, cpu)
    save_hf(model, tmp_path, positions=64)
    read, loaded = load_hf(tmp_path)
    assert read.init == InitITL()
    x, layout = tokens_of(40, 2, 9), SequenceLayout.rows([9, 9])
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, layout), model(x, layout), rtol=1e-5, atol=1e-6)


def test_learning_rates_of_mup() -> None:
    with torch.device("meta"):
        model = TransformerModel(evolve(SMALL, init=InitMuP(base=8)))
    for path, parameter in model.named_parameters():
        hidden = parameter.ndim == 2 and "embed" not in path
        assert lr_factor(model.spec, path) == (0.25 if hidden else 1.0), path
        assert lr_factor(SMALL, path) == 1.0
    assert lr_factor(evolve(SMALL, init=InitMuP(base=32)), "blocks.0.mixer.q.weight") == 1.0


WIDTHS = (64, 192, 512)


def coordinates(width: int, init: Init, scaled: bool, tied: bool = False) -> dict[str, float]:
    """Root mean square of activations by site after five steps of Adam that fit a few random rows."""
    heads = width // 16
    mixer, mlp = Attention(heads=heads, kv_heads=heads), SwiGLU(hidden=2 * width)
    spec = Transformer(vocab=64, layers=2, width=width, mixer=mixer, mlp=mlp, init=init, tied=tied)
    model = build_model(spec, Placement(torch.device("cpu")), 0)
    optimizer = torch.optim.Adam(
        [{"params": [p], "lr": 1e-2 * (lr_factor(spec, path) if scaled else 1)} for path, p in model.named_parameters()]
    )
    x, layout = tokens_of(64, 4, 17), SequenceLayout.rows([16] * 4)
    for _ in range(5):
        logits = model(x[:, :-1], layout)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    found: dict[str, float] = {}
    for name, site in model.sites().items():
        site.register_forward_hook(lambda m, i, out, name=name: found.update({name: float(out.square().mean().sqrt())}))
    with torch.no_grad():
        model(x[:, :-1], layout)
    return found


def growth(init: Init, scaled: bool = True, tied: bool = False) -> dict[str, float]:
    """Largest over smallest activation at each site, over the widths."""
    found = [coordinates(width, init, scaled, tied) for width in WIDTHS]
    return {site: max(f[site] for f in found) / min(f[site] for f in found) for site in found[0]}


@pytest.mark.parametrize("tied", [False, True])
def test_activations_under_mup_do_not_grow_with_the_width(tied: bool) -> None:
    found = growth(InitMuP(base=64), tied=tied)
    assert max(found.values()) < 1.5, found


def test_activations_of_the_standard_parametrisation_do() -> None:
    found = growth(InitITL())
    assert found["blocks.0.out"] > 3, found
    assert found["blocks.1.out"] > 3, found
    assert found["head"] > 1.5, found


def test_mup_without_its_learning_rates_grows_too() -> None:
    assert growth(InitMuP(base=64), scaled=False)["blocks.1.out"] > 3
