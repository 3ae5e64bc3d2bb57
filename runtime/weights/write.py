"""A model as a folder that transformers loads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import (
    Attention,
    LinearScaling,
    Llama3Scaling,
    Nope,
    NtkScaling,
    Rope,
    SwiGLU,
    Transformer,
    YarnScaling,
)
from ...spec.schema import variant_of
from ..models.inits import logit_multiplier, query_multiplier
from ..models.transformer import TransformerModel
from ..store.files import open_to_readers, unwritten, write_whole
from .files import CONFIG, WHOLE
from .names import tensor_name

GENERATION = "generation_config.json"


def save_hf(model: TransformerModel, folder: Path, *, positions: int, ends: Sequence[int] = ()) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors`.

    `positions` is the longest text that the model was trained on, `ends` the ids that end a generated one.
    Raises LmcError: LM0716 for a model that transformers cannot express, LM0804 where nothing can be written.
    """
    config = config_of(model.spec, positions)
    config["torch_dtype"] = str(model.embed.weight.dtype).removeprefix("torch.")
    weights = {tensor_name(path): p.detach().cpu().contiguous() for path, p in folded(model)}
    partial = folder / f".{WHOLE}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, partial, metadata={"format": "pt"})
        open_to_readers(partial)
        os.replace(partial, folder / WHOLE)
        write_json(folder / CONFIG, config)
        write_json(folder / GENERATION, {"do_sample": False, "eos_token_id": list(ends) or None})
    except (SafetensorError, OSError) as error:
        message = f"the weights cannot be written to `{folder}`: {unwritten(error, folder)}"
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise LmcError(Diagnostic("LM0804", message, None, help="choose another folder with -o")) from error


def folded(model: TransformerModel) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters by path with what muP multiplies folded in: queries by their layer, logits by the last norm."""
    queries, logits = query_multiplier(model.spec), logit_multiplier(model.spec)
    for path, parameter in model.named_parameters():
        factor = queries if ".mixer.q." in path else logits if path == "norm.gain" else 1.0
        yield path, parameter if factor == 1 else parameter * factor


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def config_of(spec: Transformer, positions: int) -> dict[str, Any]:
    """Return the `config.json` of a Llama, or of a Qwen2 where the output alone has no bias.

    Raises LmcError (LM0716) for a model that neither can express.
    """
    mixer, rope, mlp = spec.mixer, spec.positions, spec.mlp
    if reason := _inexpressible(spec):
        help = "export a model with attention and rope in radians"
        raise LmcError(Diagnostic("LM0716", f"transformers has no Llama with {reason}", None, help=help))
    assert isinstance(mixer, Attention)
    assert isinstance(rope, Rope)
    assert isinstance(mlp, SwiGLU)
    kind = "qwen2" if mixer.bias == "qkv" else "llama"
    biases = {"attention_bias": mixer.bias == "all", "mlp_bias": mlp.bias} if kind == "llama" else {}
    return {
        "architectures": ["Qwen2ForCausalLM" if kind == "qwen2" else "LlamaForCausalLM"],
        "model_type": kind,
        **biases,
        "bos_token_id": None,
        "eos_token_id": None,
        "head_dim": mixer.head_size(spec.width),
        "hidden_act": "silu",
        "hidden_size": spec.width,
        "intermediate_size": mlp.hidden,
        "max_position_embeddings": max(positions, rope.reach),
        "num_attention_heads": mixer.heads,
        "num_hidden_layers": spec.layers,
        "num_key_value_heads": mixer.kv_heads,
        "rms_norm_eps": spec.norm.eps,
        "rope_theta": _theta(rope, mixer.head_size(spec.width)),
        "rope_scaling": _scaling(rope),
        "tie_word_embeddings": spec.tied,
        "vocab_size": spec.num_ids(),
    }


def _inexpressible(spec: Transformer) -> str:
    """Return what keeps a model from being a Llama or Qwen2 of transformers, or ""."""
    mixer, rope = spec.mixer, spec.positions
    if not isinstance(mixer, Attention):
        return f"a {variant_of(type(mixer))} mixer"
    if not isinstance(spec.mlp, SwiGLU):
        return f"an mlp : {variant_of(type(spec.mlp))}"
    if mixer.window is not None:
        return "a window of attention"
    if not isinstance(rope, Rope):
        return "attention without positions" if isinstance(rope, Nope) else f"{variant_of(type(rope))} positions"
    if rope.unit == "turns":
        return "rope in turns"
    if isinstance(rope.scaling, YarnScaling) and rope.scaling.ramp == "rotations":
        return "a ramp of YaRN over rotations"
    if spec.width % mixer.heads:
        return f"{mixer.heads} heads that do not divide width {spec.width}"
    if mixer.bias == "qkv" and spec.mlp.bias:
        return 'mlp biases beside attention biases of "qkv"'
    return ""


def _scaling(rope: Rope) -> dict[str, Any] | None:
    scaling = rope.scaling
    if scaling is None:
        return None
    if isinstance(scaling, Llama3Scaling):
        return {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low,
            "high_freq_factor": scaling.high,
            "original_max_position_embeddings": scaling.original,
        }
    if isinstance(scaling, YarnScaling):
        return {
            "rope_type": "yarn",
            "factor": scaling.factor,
            "beta_slow": scaling.low,
            "beta_fast": scaling.high,
            "attention_factor": scaling.multiplier,
            "original_max_position_embeddings": scaling.original,
        }
    return {"rope_type": "linear", "factor": scaling.factor} if isinstance(scaling, LinearScaling) else None


def _theta(rope: Rope, size: int) -> float:
    """Return the base for heads of `size` channels; NTK-aware scaling is a larger one."""
    scaling = rope.scaling
    if isinstance(scaling, NtkScaling) and size > 2:
        return float(rope.theta * scaling.factor ** (size / (size - 2)))
    return rope.theta
