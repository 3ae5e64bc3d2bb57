"""What is refused, reading and writing: in which words, and before anything is touched."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lmc.runtime.models.build import build_model
from lmc.runtime.weights import files, load_hf
from lmc.runtime.weights.compare import shown
from lmc.runtime.weights.load import start_from
from lmc.runtime.weights.write import save_hf
from lmc.spec.model import (
    Alibi,
    Attention,
    GatedRecurrence,
    HfWeights,
    Learned,
    LinearScaling,
    Nope,
    RMSNorm,
    Rope,
    SwiGLU,
    YarnScaling,
)
from lmc.spec.units import FilePath

from .made import CPU, Edit, ours, refused, reshape, rewrite, saved, shard, start


def test_missing_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    name = "model.layers.1.self_attn.k_proj.weight"
    saved(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    reshape(tmp_path / "a", lambda t: t.pop(name))
    code, message = refused(lambda: load_hf(tmp_path / "a"))
    assert (code, message) == (
        "LM0713",
        f"`{tmp_path / 'a'}` has no tensor `{name}`; the model needs it for `blocks.1.mixer.k.weight`",
    )
    reshape(tmp_path / "b", lambda t: t.update({name: torch.zeros(16, 16)}))
    code, message = refused(lambda: load_hf(tmp_path / "b"))
    assert code == "LM0713"
    assert message == f"tensor `{name}` of `{tmp_path / 'b'}` has the shape [16, 16]; the model needs [8, 16]"
    reshape(tmp_path / "b", lambda t: t.update({name: torch.zeros(8, 16, dtype=torch.int32)}))
    assert refused(lambda: load_hf(tmp_path / "b"))[0] == "LM0714"


def test_a_tensor_without_a_place_is_no_trifle(tmp_path: Path) -> None:
    saved(tmp_path)
    reshape(tmp_path, lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(16)}))
    code, message = refused(lambda: load_hf(tmp_path))
    assert code == "LM0713"
    assert "`model.layers.0.self_attn.q_proj.bias`" in message


def test_nothing_is_copied_unless_all_fits(tmp_path: Path) -> None:
    saved(tmp_path / "w")
    reshape(tmp_path / "w", lambda t: t.update({"model.norm.weight": torch.zeros(3)}))
    model = build_model(ours().spec, CPU, 9)
    before = {path: p.detach().clone() for path, p in model.named_parameters()}
    refused(lambda: start_from(HfWeights(folder=FilePath("w")), model, tmp_path, 0))
    assert all(torch.equal(p, before[path]) for path, p in model.named_parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": 3}, "`layers` is 3 in the model and 2 in config.json"),
        ({"width": 32}, "`width` is 32 in the model and 16"),
        ({"tied": True}, "`tied` is true in the model and false"),
        ({"mixer": Attention(heads=2, kv_heads=2)}, "`mixer.heads` is 2 in the model and 4"),
        ({"mixer": Attention(heads=4, kv_heads=2, bias="all")}, '`mixer.bias` is "all" in the model and "none"'),
        ({"mixer": GatedRecurrence()}, "`mixer` is gated in the model and attention"),
        ({"mlp": SwiGLU(hidden=9)}, "`mlp.hidden` is 9 in the model and 24"),
        ({"norm": RMSNorm()}, "`norm.eps` is 1e-05 in the model and 0.0001"),
        ({"positions": Nope()}, "`positions` is nope in the model and rope"),
        ({"positions": Rope()}, "`positions.theta` is 10000.0 in the model and 100.0"),
        ({"positions": Rope(theta=100.0, unit="turns")}, '`positions.unit` is "turns" in the model and "radians"'),
        ({"vocab": 49}, "`vocab` is 49 in the model and 50"),
    ],
    ids=str,
)
def test_an_option_that_differs_is_named_with_both_values(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    saved(tmp_path / "w")
    code, message = refused(lambda: start(tmp_path / "w", **changes))
    assert code == "LM0713"
    assert words in message


def test_scaling_is_shown_as_it_is_written() -> None:
    assert shown(LinearScaling(factor=2.0)) == "linear { factor = 2.0 }"
    assert shown(None) == "none"


UNSUPPORTED: list[tuple[Edit, str]] = [
    (lambda c: c.update(model_type="gpt2"), "the architecture `gpt2`"),
    (lambda c: c.pop("model_type"), "the architecture `None`"),
    (lambda c: c.update(hidden_act="gelu"), "hidden_act `gelu`"),
    (lambda c: c.update(quantization_config={"bits": 4}), "quantised weights"),
    (lambda c: c.update(rope_scaling={"rope_type": "longrope", "factor": 2.0}), "rope scaling `longrope`"),
    (
        lambda c: c.update(rope_scaling={"rope_type": "yarn", "factor": 2.0, "truncate": False}),
        "a ramp of YaRN between numbers that are not whole",
    ),
    (
        lambda c: c.update(rope_scaling={"type": "dynamic", "factor": 2.0}),
        "rope scaling `dynamic`, whose frequencies change as a text grows",
    ),
    (lambda c: c.update(partial_rotary_factor=0.5), "rope on part of a head"),
    (lambda c: c.update(model_type="mistral", max_position_embeddings=9000), "a sliding window of 4096"),
    (lambda c: c.update(model_type="mistral", sliding_window=8, max_position_embeddings=9), "a sliding window of 8"),
    (lambda c: c.update(model_type="qwen2", use_sliding_window=True, sliding_window=8), "a sliding window of 8"),
]


@pytest.mark.parametrize(("edit", "words"), UNSUPPORTED, ids=[words for _, words in UNSUPPORTED])
def test_what_computes_something_else_is_refused(edit: Edit, words: str, tmp_path: Path) -> None:
    saved(tmp_path)
    rewrite(tmp_path / "config.json", edit)
    code, message = refused(lambda: load_hf(tmp_path))
    assert code == "LM0714"
    assert message.endswith(f"asks for {words}")


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.pop("vocab_size"),
        lambda c: c.update(hidden_size="16"),
        lambda c: c.update(num_hidden_layers=0),
        lambda c: c.update(num_attention_heads=True),
        lambda c: c.update(rms_norm_eps=None),
        lambda c: c.update(rope_theta=-1),
        lambda c: c.update(num_key_value_heads=3),
        lambda c: c.update(head_dim=7),
        lambda c: c.update(rope_scaling=[1]),
        lambda c: c.update(rope_scaling={"rope_type": "llama3", "factor": 8.0}),
    ],
)
def test_a_configuration_that_makes_no_sense_is_damaged(edit: Edit, tmp_path: Path) -> None:
    saved(tmp_path)
    rewrite(tmp_path / "config.json", edit)
    assert refused(lambda: load_hf(tmp_path))[0] == "LM0702"


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    saved(tmp_path / "w")
    for name, content in (("config.json", "{"), ("config.json", "[]"), ("model.safetensors", "no tensors")):
        folder = tmp_path / f"damaged-{name}-{len(content)}"
        shutil.copytree(tmp_path / "w", folder)
        (folder / name).write_text(content)
        code, message = refused(lambda folder=folder: load_hf(folder))  # type: ignore[misc]
        assert code == "LM0702"
        assert str(folder / name) in message
    (tmp_path / "w" / "config.json").unlink()
    assert refused(lambda: load_hf(tmp_path / "w"))[0] == "LM0701"
    assert refused(lambda: load_hf(tmp_path / "nowhere"))[0] == "LM0701"


def test_a_folder_without_safetensors_says_so(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    code, message = refused(lambda: load_hf(tmp_path))
    assert (code, message) == (
        "LM0701",
        f"`{tmp_path}` has neither model.safetensors nor model.safetensors.index.json",
    )


def test_an_index_names_files_of_its_folder(tmp_path: Path) -> None:
    saved(tmp_path)
    parts = shard(tmp_path)
    parts[0].unlink()
    code, message = refused(lambda: load_hf(tmp_path))
    assert code == "LM0701"
    assert parts[0].name in message
    for names in ({}, {"a": "../b.safetensors"}, {"a": 3}, {"a": ".."}):
        (tmp_path / files.INDEX).write_text(json.dumps({"weight_map": names}))
        assert refused(lambda: load_hf(tmp_path))[0] == "LM0702"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixer": GatedRecurrence()}, "a gated mixer"),
        ({"positions": Nope()}, "attention without positions"),
        ({"positions": Rope(unit="turns")}, "rope in turns"),
        ({"positions": Alibi()}, "alibi positions"),
        ({"positions": Learned(length=8)}, "learned positions"),
        ({"positions": Rope(scaling=YarnScaling(factor=2.0, original=8, ramp="rotations"))}, "a ramp of YaRN"),
        ({"mixer": Attention(heads=4, kv_heads=4, window=4)}, "a window of attention"),
        ({"mixer": Attention(heads=3, kv_heads=3, head_dim=4)}, "3 heads that do not divide width 16"),
        ({"mixer": Attention(heads=4, kv_heads=4, bias="qkv"), "mlp": SwiGLU(hidden=9, bias=True)}, "mlp biases"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_that_transformers_cannot_express_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    code, message = refused(lambda: save_hf(ours(**changes), tmp_path / "out", positions=8))
    assert code == "LM0716"
    assert words in message
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert refused(lambda: save_hf(ours(), tmp_path / "file", positions=8))[0] == "LM0804"
