"""Scaling of rotary frequencies against formulas written out with numpy, and against transformers."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from lmc.runtime.models.attention import Rope, rotate
from lmc.runtime.models.build import build_model
from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.placement import Placement
from lmc.spec.model import (
    Attention,
    LinearScaling,
    Llama3Scaling,
    NtkScaling,
    Scaling,
    SwiGLU,
    Transformer,
    YarnScaling,
)
from lmc.spec.model import Rope as RopeSpec
from lmc.spec.rules import violations

Floats = npt.NDArray[np.float64]


def built(scaling: Scaling | None, size: int, theta: float = 1e4, **options: Any) -> Rope:
    rope = Rope(RopeSpec(theta=theta, scaling=scaling, **options), size)
    rope.reset_parameters()
    return rope


def plain(size: int, theta: float) -> Floats:
    return np.array([theta ** (-2 * i / size) for i in range(size // 2)])


def yarn(size: int, theta: float, spec: YarnScaling) -> Floats:
    """Peng et al. 2023, eq. 13, with the ramp of the paper; with the ramp of its code, `index`."""
    found = []
    for i, f in enumerate(plain(size, theta)):
        if spec.ramp == "rotations":
            gamma = (spec.original * f / (2 * math.pi) - spec.low) / (spec.high - spec.low)
        else:
            ends = [
                size * math.log(spec.original / (turns * 2 * math.pi)) / (2 * math.log(theta))
                for turns in (spec.high, spec.low)
            ]
            first, last = max(math.floor(ends[0]), 0), min(math.ceil(ends[1]), size - 1)
            gamma = 1 - (i - first) / (last - first if last != first else 1e-3)
        gamma = min(max(gamma, 0.0), 1.0)
        found.append((1 - gamma) * f / spec.factor + gamma * f)
    return np.array(found)


@pytest.mark.parametrize("size", [4, 8, 64, 128])
@pytest.mark.parametrize("theta", [100.0, 1e4, 5e5])
@pytest.mark.parametrize("factor", [1.0, 2.0, 32.0])
def test_a_larger_base_is_that_of_ntk(size: int, theta: float, factor: float) -> None:
    found = built(NtkScaling(factor=factor), size, theta).frequencies.numpy()
    np.testing.assert_allclose(found, plain(size, theta * factor ** (size / (size - 2))), rtol=1e-12)
    assert found[0] == 1.0
    assert found[-1] * factor == pytest.approx(plain(size, theta)[-1], rel=1e-12)


def test_one_frequency_has_no_base(exact: Placement) -> None:
    assert built(NtkScaling(factor=8.0), 2).frequencies.tolist() == [1.0]


@pytest.mark.parametrize("ramp", ["index", "rotations"])
@pytest.mark.parametrize(
    ("size", "theta", "original"), [(2, 1e4, 64), (8, 100.0, 32), (64, 1e4, 2048), (128, 5e5, 8192), (16, 1e4, 3)]
)
@pytest.mark.parametrize(("low", "high"), [(1.0, 32.0), (2.0, 3.0)])
def test_frequencies_are_those_of_yarn(
    ramp: Any, size: int, theta: float, original: int, low: float, high: float
) -> None:
    spec = YarnScaling(factor=4.0, original=original, low=low, high=high, ramp=ramp)
    found = built(spec, size, theta).frequencies.numpy()
    np.testing.assert_allclose(found, yarn(size, theta, spec), rtol=1e-12)


def test_the_ramps_differ() -> None:
    one, other = (built(YarnScaling(factor=4.0, original=2048, ramp=r), 64).frequencies for r in ("index", "rotations"))  # type: ignore[arg-type]
    assert not torch.allclose(one, other)
    assert torch.equal(one[[0, -1]], other[[0, -1]])


@pytest.mark.parametrize(("attention", "gain"), [(None, 0.1 * math.log(8.0) + 1), (1.0, 1.0), (1.25, 1.25)])
def test_yarn_scales_q_and_k(attention: float | None, gain: float) -> None:
    spec = YarnScaling(factor=8.0, original=64, attention=attention)
    x = torch.randn(1, 1, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, built(spec, 16).tables(torch.arange(5)[None], torch.float64))
    torch.testing.assert_close(turned.norm(dim=-1), gain * x.norm(dim=-1), rtol=1e-12, atol=0)


def test_turns_scale_as_radians_do() -> None:
    """A frequency of 2 pi f is low where it turns less than `low` times, whatever unit it is written in."""
    spec = YarnScaling(factor=4.0, original=64, ramp="rotations")
    found = built(spec, 16, unit="turns").frequencies.numpy()
    frequencies = 2 * math.pi * plain(16, 1e4)
    gamma = np.clip((64 * frequencies / (2 * math.pi) - 1) / 31, 0, 1)
    np.testing.assert_allclose(found, (1 - gamma) * frequencies / 4 + gamma * frequencies, rtol=1e-12)


@pytest.mark.parametrize(
    "scaling",
    [
        NtkScaling(factor=4.0),
        YarnScaling(factor=4.0, original=4),
        YarnScaling(factor=4.0, original=4, ramp="rotations"),
    ],
    ids=["ntk", "yarn", "rotations"],
)
def test_cached_steps_equal_the_whole_text(scaling: Scaling, exact: Placement) -> None:
    spec = Transformer(
        vocab=37,
        layers=2,
        width=32,
        mixer=Attention(heads=2, kv_heads=1),
        mlp=SwiGLU(hidden=24),
        positions=RopeSpec(theta=50.0, scaling=scaling),
    )
    model = build_model(spec, exact, 3)
    x = torch.randint(0, 37, (2, 12), generator=torch.Generator().manual_seed(7))
    whole = model(x, SequenceLayout.rows([12, 12]))
    one, other = model.new_cache(2, 12), model.new_cache(2, 12)
    for cache in (one, other):
        torch.testing.assert_close(model(x[:, :5], SequenceLayout.rows([5, 5]), cache), whole[:, :5])
    decoder, active = Decoder(StepWeights.of(model), one), torch.tensor([True, True])
    assert decoder.blocks
    for t in range(5, 12):
        for found in (decoder.step(x[:, t], active, t + 1, True), model.step(x[:, t], other, active)):
            torch.testing.assert_close(found, whole[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("scaling", "theta", "words"),
    [
        (YarnScaling(factor=2.0, original=8, low=4.0, high=4.0), 1e4, "`high` must be more"),
        (YarnScaling(factor=2.0, original=8), 1.0, "frequencies must fall"),
    ],
)
def test_rules_of_yarn(scaling: Scaling, theta: float, words: str) -> None:
    spec = Transformer(
        vocab=8,
        layers=1,
        width=8,
        mixer=Attention(heads=2, kv_heads=2),
        positions=RopeSpec(theta=theta, scaling=scaling),
    )
    (found,) = violations(spec, lambda node_id: None)
    assert found.code == "LM0303"
    assert words in found.message


THEIRS: dict[str, tuple[Scaling, dict[str, Any]]] = {
    "linear": (LinearScaling(factor=4.0), {"factor": 4.0}),
    "llama3": (
        Llama3Scaling(original=2048),
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 2048,
        },
    ),
    "yarn": (YarnScaling(factor=4.0, original=2048), {"factor": 4.0, "original_max_position_embeddings": 2048}),
}


@pytest.mark.transformers
@pytest.mark.parametrize("kind", [*THEIRS, "dynamic"])
def test_frequencies_are_those_of_transformers(kind: str) -> None:
    """`dynamic` at one length is `ntk`: with its factor 1 the base grows by length / trained length."""
    utils = pytest.importorskip("transformers.modeling_rope_utils", reason="needs the transformers library")
    config = pytest.importorskip("transformers").LlamaConfig(
        hidden_size=256,
        num_attention_heads=4,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": kind, "rope_theta": 1e4, **THEIRS.get(kind, (None, {"factor": 1.0}))[1]},
    )
    scaling = THEIRS[kind][0] if kind in THEIRS else NtkScaling(factor=3.0)
    want, gain = utils.ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=6144)
    rope = built(scaling, 64)
    torch.testing.assert_close(rope.frequencies.float(), want, rtol=1e-5, atol=0)
    cos, _ = rope.tables(torch.zeros(1, 1, dtype=torch.int64), torch.float64)
    assert float(cos.max()) == pytest.approx(gain)
