"""Folders of weights against transformers itself: the same logits, whatever the architecture's options."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.weights import load_hf
from lmc.runtime.weights.write import save_hf
from lmc.spec.model import Attention, LinearScaling, Llama3Scaling, NtkScaling, Rope, SwiGLU, YarnScaling

from .made import LLAMA3, YARN, ours, saved, theirs, tokens

transformers = pytest.importorskip("transformers", reason="needs the transformers library")
pytestmark = pytest.mark.transformers
LENGTH = 40
TIGHT, SCALED = 1e-6, 2e-5
"""Largest difference of logits by the largest logit, at default initialisation and with scaled weights."""

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one-layer": {"num_hidden_layers": 1},
    "attention-bias": {"attention_bias": True},
    "mlp-bias": {"mlp_bias": True},
    "both-biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "one-kv-head": {"num_key_value_heads": 1},
    "all-kv-heads": {"num_key_value_heads": 4},
    "wide-heads": {"head_dim": 24, "attention_bias": True},
    "narrow-heads": {"head_dim": 6},
    "llama3": {"rope_parameters": LLAMA3},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    "yarn": {"rope_parameters": YARN},
    "yarn, steep": {"rope_parameters": {**YARN, "factor": 40.0, "beta_slow": 2.0, "beta_fast": 3.0}},
    "yarn, q and k as they are": {"rope_parameters": {**YARN, "attention_factor": 1.0}},
    "yarn, of mscale": {"rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.2}},
    "theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "odd-vocabulary": {"vocab_size": 257, "rms_norm_eps": 1e-3},
    "all": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "rope_parameters": LLAMA3},
}


def logits_of(model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        if isinstance(model, TransformerModel):
            return model(x, SequenceLayout.rows([x.shape[1]] * len(x)))
        return model(x).logits  # type: ignore[no-any-return]


def assert_same(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    assert float((one - other).abs().max() / other.abs().max()) < tolerance
    assert torch.equal(one.argmax(-1), other.argmax(-1))


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = theirs(**OPTIONS[name])
    model.save_pretrained(tmp_path)
    spec, loaded = load_hf(tmp_path)
    assert spec.num_params() == sum(p.numel() for p in loaded.parameters()) == model.num_parameters()
    x = tokens(spec.num_ids(), 2, LENGTH)
    assert_same(logits_of(loaded, x), logits_of(model, x), TIGHT)


@pytest.mark.parametrize("name", ["plain", "both-biases", "llama3", "wide-heads"])
def test_logits_of_scaled_weights_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = theirs(scale=3.0, **OPTIONS[name])
    model.save_pretrained(tmp_path)
    _, loaded = load_hf(tmp_path)
    x = tokens(131, 2, LENGTH)
    assert_same(logits_of(loaded, x), logits_of(model, x), SCALED)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Mistral", {"sliding_window": None}),
        ("Mistral", {"sliding_window": 64, "max_position_embeddings": 64, "head_dim": 24}),
        ("Qwen2", {}),
        ("Qwen2", {"tie_word_embeddings": True, "use_sliding_window": False, "sliding_window": 8}),
    ],
)
def test_relatives_that_compute_the_same_are_read(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = theirs(kind, **options)
    model.save_pretrained(tmp_path)
    spec, loaded = load_hf(tmp_path)
    assert spec.mixer.bias == ("qkv" if kind == "Qwen2" else "none")  # type: ignore[union-attr]
    x = tokens(131, 2, LENGTH)
    assert_same(logits_of(loaded, x), logits_of(model, x), TIGHT)


def test_a_sharded_folder_is_one_model(tmp_path: Path) -> None:
    model = theirs(attention_bias=True)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    _, loaded = load_hf(tmp_path)
    x = tokens(131, 2, LENGTH)
    assert_same(logits_of(loaded, x), logits_of(model, x), TIGHT)


def test_an_older_configuration_means_the_same(tmp_path: Path) -> None:
    theirs(rope_parameters=LLAMA3).save_pretrained(tmp_path)
    new, _ = load_hf(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    scaling = dict(config.pop("rope_parameters"))
    config |= {"rope_theta": scaling.pop("rope_theta"), "rope_scaling": scaling}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_hf(tmp_path)[0] == new
    scaling["type"] = scaling.pop("rope_type")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_hf(tmp_path)[0] == new
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    x = tokens(131, 1, LENGTH)
    assert_same(logits_of(load_hf(tmp_path)[1], x), logits_of(model, x), TIGHT)


def test_half_precision_is_read_as_its_values(tmp_path: Path) -> None:
    theirs().to(torch.bfloat16).save_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    _, loaded = load_hf(tmp_path)
    assert loaded.embed.weight.dtype == torch.float32
    x = tokens(131, 2, LENGTH)
    assert_same(logits_of(loaded, x), logits_of(model, x), TIGHT)


@pytest.mark.parametrize("name", ["plain", "llama3", "wide-heads", "both-biases"])
def test_cached_decoding_is_the_full_forward_of_transformers(name: str, tmp_path: Path) -> None:
    model = theirs(**OPTIONS[name])
    model.save_pretrained(tmp_path)
    _, loaded = load_hf(tmp_path)
    x = tokens(131, 2, LENGTH)
    active = torch.tensor([True, True])
    for fast in (False, True):
        cache = loaded.new_cache(2, LENGTH)
        with torch.no_grad():
            first = loaded(x[:, :7], SequenceLayout.rows([7, 7]), cache)
            decoder = Decoder(StepWeights.of(loaded), cache)
            steps = [
                decoder.step(x[:, t], active, t + 1, True) if fast else loaded.step(x[:, t], cache, active)
                for t in range(7, LENGTH)
            ]
        assert_same(torch.cat([first, torch.stack(steps, dim=1)], dim=1), logits_of(model, x), TIGHT)


EXPORTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tied": True},
    "biases": {"mixer": Attention(heads=4, kv_heads=4, bias="all"), "mlp": SwiGLU(hidden=9, bias=True)},
    "qkv": {"mixer": Attention(heads=4, kv_heads=1, bias="qkv")},
    "head-dim": {"mixer": Attention(heads=2, kv_heads=1, head_dim=10)},
    "linear": {"positions": Rope(theta=1e6, scaling=LinearScaling(factor=2.5))},
    "llama3": {"positions": Rope(theta=5e5, scaling=Llama3Scaling(factor=4.0, low=1.5, high=5.0, original=16))},
    "yarn": {"positions": Rope(scaling=YarnScaling(factor=4.0, original=16, low=0.5, high=3.0))},
    "yarn, attention": {"positions": Rope(scaling=YarnScaling(factor=4.0, original=16, attention=1.3))},
    "ntk": {"positions": Rope(theta=100.0, scaling=NtkScaling(factor=8.0))},
    "one-layer": {"layers": 1, "vocab": 257},
}


@pytest.mark.parametrize("name", EXPORTED)
def test_transformers_loads_what_is_written(name: str, tmp_path: Path) -> None:
    mine = saved(tmp_path, **EXPORTED[name])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.dtype == torch.float32
    assert model.num_parameters() == mine.spec.num_params()
    x = tokens(mine.spec.num_ids(), 2, LENGTH)
    assert_same(logits_of(mine, x), logits_of(model, x), TIGHT)


def test_transformers_generates_from_what_is_written(tmp_path: Path) -> None:
    mine = ours()
    save_hf(mine, tmp_path, positions=64)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    x = tokens(50, 1, 5)
    written = model.generate(x, max_new_tokens=10, attention_mask=torch.ones_like(x), pad_token_id=0)[0].tolist()
    for _ in range(10):
        x = torch.cat([x, logits_of(mine, x)[:, -1:].argmax(-1)], dim=1)
    assert written == x[0].tolist()
    save_hf(mine, tmp_path, positions=64, ends=[written[6]])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    shorter = model.generate(x[:, :5], max_new_tokens=10, attention_mask=torch.ones(1, 5), pad_token_id=0)
    assert shorter.shape[1] == 5 + written[5:].index(written[6]) + 1
