"""Reading folders without transformers: round trips, new rows, and what is refused in which words."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmc.runtime.models.build import build_model
from lmc.runtime.weights import files, load_hf
from lmc.spec.model import (
    Attention,
    HfWeights,
    LinearScaling,
    Llama3Scaling,
    RMSNorm,
    Rope,
    SwiGLU,
    Transformer,
)
from lmc.spec.units import FilePath

from .made import CPU, ours, reshape, saved, shard, start

VARIANTS: list[dict[str, Any]] = [
    {},
    {"tied": True},
    {"mixer": Attention(heads=4, kv_heads=4, bias="all"), "mlp": SwiGLU(hidden=9, bias=True)},
    {"mixer": Attention(heads=4, kv_heads=1, bias="qkv"), "norm": RMSNorm(eps=1e-6)},
    {"mixer": Attention(heads=2, kv_heads=1, head_dim=10), "layers": 3},
    {"positions": Rope(theta=5e5, scaling=Llama3Scaling(original=16, low=1.5)), "vocab": 51},
    {"positions": Rope(scaling=LinearScaling(factor=2.5))},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_what_is_read_back_is_what_was_written_to_the_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    model = saved(tmp_path, **changes)
    spec, loaded = load_hf(tmp_path)
    assert spec == model.spec
    assert not loaded.training
    assert (loaded.unembed.weight is loaded.embed.weight) == spec.tied
    for path, parameter in model.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(path)), path


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_compiler_counts_what_is_built_and_biases_begin_at_zero(changes: dict[str, Any]) -> None:
    spec = ours(**changes).spec
    model = build_model(spec, CPU, 1)
    assert sum(p.numel() for p in model.parameters()) == spec.num_params()
    biases = [p for path, p in model.named_parameters() if path.endswith(".bias")]
    assert all(not p.any() for p in biases)
    plain = isinstance(spec.mixer, Attention) and spec.mixer.bias == "none" and not spec.mlp.bias
    assert bool(biases) != plain


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    model = saved(tmp_path)
    parts = shard(tmp_path)
    assert files.weight_files(tmp_path) == [tmp_path / files.CONFIG, *parts, tmp_path / files.INDEX]
    _, loaded = load_hf(tmp_path)
    assert all(torch.equal(p, loaded.get_parameter(path)) for path, p in model.named_parameters())


def test_a_model_of_more_ids_gets_new_rows(tmp_path: Path) -> None:
    model = saved(tmp_path / "w")
    mean = start(tmp_path / "w", vocab=53)
    for path in ("embed.weight", "unembed.weight"):
        old, new = model.get_parameter(path), mean.get_parameter(path)
        assert torch.equal(new[:50], old)
        torch.testing.assert_close(new[50:], old.mean(0).expand(3, -1), rtol=0, atol=1e-7)
    normal = HfWeights(folder=FilePath("w"), new_rows="normal")
    one, same, other = (start(tmp_path / "w", normal, seed, vocab=2050) for seed in (1, 1, 2))
    assert torch.equal(one.embed.weight, same.embed.weight)
    assert not torch.equal(one.embed.weight, other.embed.weight)
    assert torch.equal(other.embed.weight[:50], model.embed.weight)
    old, fresh = model.embed.weight.detach(), one.embed.weight.detach()[50:]
    torch.testing.assert_close(fresh.std(0), 0.98658 * old.std(0, correction=0), rtol=0.1, atol=0)
    torch.testing.assert_close(fresh.mean(0), old.mean(0), rtol=0, atol=0.03)


def test_a_tied_model_of_more_ids_stays_tied(tmp_path: Path) -> None:
    saved(tmp_path / "w", tied=True)
    model = start(tmp_path / "w", tied=True, vocab=52)
    assert model.unembed.weight is model.embed.weight
    assert torch.isfinite(model.embed.weight).all()


def test_values_are_rounded_as_they_are_read(tmp_path: Path) -> None:
    model = saved(tmp_path / "w")
    rounded = start(tmp_path / "w", HfWeights(folder=FilePath("w"), dtype="bf16"))
    for path, parameter in model.named_parameters():
        found = rounded.get_parameter(path)
        assert found.dtype == torch.float32
        assert torch.equal(found, parameter.to(torch.bfloat16).float())


def test_buffers_of_old_folders_and_a_stored_head_of_a_tied_model_are_left_out(tmp_path: Path) -> None:
    model = saved(tmp_path, tied=True)
    reshape(
        tmp_path,
        lambda t: t.update(
            {
                "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2),
                "lm_head.weight": t["model.embed_tokens.weight"].clone(),
            }
        ),
    )
    assert torch.equal(load_hf(tmp_path)[1].embed.weight, model.embed.weight)


def test_llama3_scaling_is_what_its_release_computes() -> None:
    """Against the loop of the Llama 3.1 release over the wavelengths."""
    from math import pi

    scaling = Llama3Scaling(factor=8.0, low=1.0, high=4.0, original=8192)
    spec = Transformer(
        vocab=9,
        layers=1,
        width=128,
        mixer=Attention(heads=1, kv_heads=1),
        mlp=SwiGLU(hidden=8),
        positions=Rope(theta=5e5, scaling=scaling),
    )
    model = build_model(spec, CPU, 0)
    assert model.rope is not None
    want = []
    for i in range(64):
        frequency = 5e5 ** (-2 * i / 128)
        length = 2 * pi / frequency
        if length < 8192 / 4:
            want.append(frequency)
        elif length > 8192:
            want.append(frequency / 8)
        else:
            smooth = (8192 / length - 1) / (4 - 1)
            want.append((1 - smooth) * frequency / 8 + smooth * frequency)
    assert len({round(a / 5e5 ** (-2 * i / 128), 6) for i, a in enumerate(want)}) > 3
    torch.testing.assert_close(model.rope.frequencies, torch.tensor(want, dtype=torch.float64), rtol=1e-12, atol=0)
