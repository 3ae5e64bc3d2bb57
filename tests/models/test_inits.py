"""Initialisations: the spread that each rule says, whatever the order of draws."""

import math
from collections.abc import Callable

import pytest
import torch
from attrs import evolve

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.placement import Placement
from lmc.spec.identity import identity
from lmc.spec.init import (
    Init,
    InitGPT2,
    InitITL,
    InitKaiming,
    InitLlama,
    InitMuP,
    InitOrthogonal,
    InitSmall,
    InitXavier,
)
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer

CUT = 0.98658
"""Standard deviation of a unit normal cut at 3 sigma."""
LAYERS, WIDTH, HIDDEN, VOCAB = 3, 256, 640, 512
SPEC = Transformer(
    vocab=VOCAB,
    layers=LAYERS,
    width=WIDTH,
    mixer=Attention(heads=4, kv_heads=2, bias="all"),
    mlp=SwiGLU(hidden=HIDDEN, bias=True),
)
SMALL = evolve(SPEC, width=32, vocab=40, mlp=SwiGLU(hidden=48))
INITS: dict[str, Init] = {
    "itl": InitITL(),
    "gpt2": InitGPT2(),
    "llama": InitLlama(),
    "small": InitSmall(),
    "xavier": InitXavier(),
    "kaiming": InitKaiming(),
    "orthogonal": InitOrthogonal(),
    "mup": InitMuP(base=16),
    "zero residual": InitSmall(zero_residual=True),
    "tiny embedding": InitITL(tiny_embedding=True),
}


def fan_in(path: str) -> int:
    """Columns of a matrix of `SPEC`, written by hand."""
    return HIDDEN if path.endswith("mlp.down.weight") else WIDTH


def into_stream(path: str) -> bool:
    return path.endswith(("mixer.o.weight", "mlp.down.weight"))


def block(path: str) -> int:
    return int(path.split(".")[1])


def rows(path: str) -> int:
    """Rows of a matrix of `SPEC`, written by hand: two kv heads of 64 channels."""
    sizes = {"q": 256, "k": 128, "v": 128, "o": WIDTH, "gate": HIDDEN, "up": HIDDEN, "down": WIDTH}
    return sizes.get(path.split(".")[-2], VOCAB)


RULES: list[tuple[Init, Callable[[str], float], float | None]] = [
    (InitITL(), lambda p: fan_in(p) ** -0.5, 3),
    (InitGPT2(), lambda p: 0.02 / math.sqrt(2 * LAYERS) if into_stream(p) else 0.02, 3),
    (InitGPT2(std=0.1), lambda p: 0.1 / math.sqrt(2 * LAYERS) if into_stream(p) else 0.1, 3),
    (InitLlama(residual="none"), lambda p: fan_in(p) ** -0.5, 3),
    (InitLlama(), lambda p: fan_in(p) ** -0.5 / (math.sqrt(2 * (block(p) + 1)) if into_stream(p) else 1), 3),
    (
        InitLlama(residual="global"),
        lambda p: fan_in(p) ** -0.5 / (math.sqrt(2 * (LAYERS + 1)) if into_stream(p) else 1),
        3,
    ),
    (InitLlama(residual="width"), lambda p: fan_in(p) ** -0.5 / (WIDTH / 4096 if into_stream(p) else 1), 3),
    (InitSmall(), lambda p: 2 / LAYERS / math.sqrt(WIDTH) if into_stream(p) else math.sqrt(2 / 5 / WIDTH), 3),
    (
        InitSmall(residual="global"),
        lambda p: math.sqrt(2 / 5 / WIDTH) / (math.sqrt(2 * LAYERS) if into_stream(p) else 1),
        3,
    ),
    (InitXavier(), lambda p: math.sqrt(2 / (fan_in(p) + rows(p))), math.sqrt(3)),
    (InitXavier(activation="tanh", distribution="normal"), lambda p: 5 / 3 * (2 / (fan_in(p) + rows(p))) ** 0.5, None),
    (InitKaiming(), lambda p: math.sqrt(2 / fan_in(p)), None),
    (
        InitKaiming(activation="selu", fan="out", distribution="uniform"),
        lambda p: 0.75 / math.sqrt(rows(p)),
        math.sqrt(3),
    ),
    (
        InitMuP(base=64),
        lambda p: {"embed.weight": 1.0, "unembed.weight": 1 / 8}.get(p, fan_in(p) ** -0.5),
        3,
    ),
    (
        InitMuP(base=64, embedding=0.3),
        lambda p: {"embed.weight": 0.3, "unembed.weight": 1 / 8}.get(p, fan_in(p) ** -0.5),
        3,
    ),
]


@pytest.mark.parametrize(("init", "sigma", "bound"), RULES, ids=[str(rule[0]) for rule in RULES])
def test_every_parameter_has_the_spread_of_the_rule(
    init: Init, sigma: Callable[[str], float], bound: float | None, cpu: Placement
) -> None:
    """`bound` is where draws end, in sigma: 3 for cut normals, sqrt(3) for uniform draws, None for normals."""
    model = build_model(evolve(SPEC, init=init), cpu, 0)
    for path, parameter in model.named_parameters():
        weight = parameter.detach()
        if weight.ndim == 1:
            assert torch.equal(weight, torch.full_like(weight, float(path.endswith("gain")))), path
            continue
        want, largest = sigma(path), float(weight.abs().max())
        assert float(weight.std()) == pytest.approx(want * (CUT if bound == 3 else 1), rel=0.02), path
        assert float(weight.mean()) == pytest.approx(0, abs=5 * want / math.sqrt(weight.numel())), path
        if bound is None:
            assert largest > 3.2 * want, path
        else:
            assert 0.95 * bound * want < largest <= bound * want * (1 + 1e-6), path


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_a_draw_depends_on_seed_path_and_shape_only(init: Init, cpu: Placement, exact: Placement) -> None:
    fixed = init if not isinstance(init, InitLlama | InitSmall) else evolve(init, residual="global")
    spec = evolve(SMALL, init=fixed)
    one, two, double = build_model(spec, cpu, 1), build_model(spec, cpu, 2), build_model(spec, exact, 1)
    torch.rand(7)
    again = build_model(evolve(spec, norm=evolve(spec.norm, eps=1e-3), mlp=SwiGLU(hidden=64)), cpu, 1)
    for path, weight in one.named_parameters():
        assert torch.equal(weight.double(), double.get_parameter(path)), path
        if weight.shape == again.get_parameter(path).shape:
            assert torch.equal(weight, again.get_parameter(path)), path
        if weight.ndim == 2 and bool(weight.any()):
            assert not torch.equal(weight, two.get_parameter(path)), path


def test_a_deeper_model_begins_with_the_same_blocks(cpu: Placement) -> None:
    deep = build_model(evolve(SMALL, layers=5), cpu, 1)
    for path, weight in build_model(SMALL, cpu, 1).named_parameters():
        assert torch.equal(weight, deep.get_parameter(path)), path


def test_llama_without_a_factor_is_itl_to_the_bit(cpu: Placement) -> None:
    one = build_model(evolve(SMALL, init=InitLlama(residual="none")), cpu, 3)
    other = build_model(SMALL, cpu, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_tied_weights_are_one_and_drawn_as_the_embedding(init: Init, cpu: Placement) -> None:
    tied = build_model(evolve(SMALL, init=init, tied=True), cpu, 0)
    apart = build_model(evolve(SMALL, init=init), cpu, 0)
    assert tied.unembed.weight is tied.embed.weight
    scale = 1 / 4 if isinstance(init, InitMuP) else 1
    torch.testing.assert_close(tied.embed.weight, scale * apart.embed.weight)


def test_identities_of_itl_and_gpt2_are_what_they_were() -> None:
    mixer = Attention(heads=2, kv_heads=2)
    spec = Transformer(vocab=9, layers=1, width=8, mixer=mixer, mlp=SwiGLU(hidden=3))
    assert identity(spec) == "hf2fwup5iokxi44c"
    assert identity(evolve(spec, init=InitGPT2())) == "772mlwyvguau2yoy"
    assert identity(evolve(spec, init=InitGPT2(std=0.1))) == "plzpijcodlycn67z"


def test_orthogonal_matrices_are_orthogonal(cpu: Placement) -> None:
    model = build_model(evolve(SPEC, init=InitOrthogonal(activation="relu")), cpu, 0)
    plain = build_model(SPEC, cpu, 0)
    for path, parameter in model.named_parameters():
        weight = parameter.detach()
        if weight.ndim == 2 and path.startswith("blocks."):
            short = weight if weight.shape[0] <= weight.shape[1] else weight.T
            want = 2 * torch.eye(len(short))
            torch.testing.assert_close(short @ short.T, want, rtol=0, atol=1e-5)
        else:
            assert torch.equal(weight, plain.get_parameter(path)), path


@pytest.mark.parametrize("mixer", [SMALL.mixer, GatedRecurrence()], ids=["attention", "recurrence"])
def test_blocks_of_zero_residuals_are_the_identity(mixer: Attention | GatedRecurrence, exact: Placement) -> None:
    spec = evolve(SMALL, mixer=mixer, init=InitGPT2(zero_residual=True))
    model, plain = build_model(spec, exact, 0), build_model(evolve(spec, init=InitGPT2()), exact, 0)
    x = tokens_of(40, 1, 6)
    stream = model.embed(x)
    want = stream / (stream.square().mean(-1, keepdim=True) + spec.norm.eps).sqrt()
    torch.testing.assert_close(model.hidden(x, SequenceLayout.rows([6])), want, rtol=0, atol=1e-12)
    for path, weight in model.named_parameters():
        assert into_stream(path) or torch.equal(weight, plain.get_parameter(path)), path


def test_a_tiny_embedding_is_uniform_and_the_rest_is_left(cpu: Placement) -> None:
    model = build_model(evolve(SPEC, init=InitGPT2(tiny_embedding=True)), cpu, 0)
    plain = build_model(evolve(SPEC, init=InitGPT2()), cpu, 0)
    for path, parameter in model.named_parameters():
        weight = parameter.detach()
        if path == "embed.weight":
            assert float(weight.std()) == pytest.approx(1e-4 / math.sqrt(3), rel=0.02)
            assert 0.99e-4 < float(weight.abs().max()) <= 1e-4
        else:
            assert torch.equal(weight, plain.get_parameter(path)), path


def tokens_of(vocab: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, vocab, shape, generator=torch.Generator().manual_seed(7))
