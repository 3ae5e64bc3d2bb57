"""`config.json` as the specification of a model, and what of it the language cannot express."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from attrs import evolve

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Attention, LinearScaling, Llama3Scaling, RMSNorm, Rope, SwiGLU, Transformer, YarnScaling
from ...spec.rules import violations
from .files import CONFIG, damaged, read_object

MODEL_TYPES = ("llama", "mistral", "qwen2")
WINDOW = 4096
"""Sliding window of a Mistral whose configuration does not name one."""

Config = dict[str, Any]
Bias = Literal["none", "qkv", "all"]


def read_architecture(folder: Path) -> Transformer:
    """Return the architecture of a folder.

    Raises LmcError: LM0701 without `config.json`, LM0702 if it is damaged, LM0714 for one that is not supported.
    """
    path = folder / CONFIG
    config = read_object(path)
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise _unsupported(path, f"the architecture `{kind}`", f"use weights of one of {', '.join(MODEL_TYPES)}")
    _refuse(path, config, kind)
    width, heads = _whole(path, config, "hidden_size"), _whole(path, config, "num_attention_heads")
    default_kv = {"num_key_value_heads": heads} if kind == "llama" else {}
    kv_heads = _whole(path, {**default_kv, **config}, "num_key_value_heads", heads)
    head_dim = _whole(path, {"head_dim": None, **config}, "head_dim", width // heads)
    bias: Bias = "qkv" if kind == "qwen2" else "all" if kind == "llama" and config.get("attention_bias") else "none"
    spec = Transformer(
        vocab=_whole(path, config, "vocab_size"),
        layers=_whole(path, config, "num_hidden_layers"),
        width=width,
        mixer=Attention(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=None if head_dim * heads == width else head_dim,
            bias=bias,
        ),
        mlp=SwiGLU(
            hidden=_whole(path, config, "intermediate_size"),
            bias=kind == "llama" and bool(config.get("mlp_bias")),
        ),
        norm=RMSNorm(eps=_number(path, {"rms_norm_eps": 1e-6, **config}, "rms_norm_eps")),
        positions=_rope(path, config),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
    for violation in violations(spec, lambda node_id: None):
        raise damaged(path, violation.message)
    return spec


def _refuse(path: Path, config: Config, kind: str) -> None:
    """Raise LmcError (LM0714) for options that change what the same tensors compute."""
    if config.get("hidden_act", "silu") != "silu":
        raise _unsupported(path, f"hidden_act `{config['hidden_act']}`", "supported is silu")
    if config.get("quantization_config"):
        raise _unsupported(path, "quantised weights", "use the repository that they were made from")
    window = config.get("sliding_window", WINDOW if kind == "mistral" else None)
    if window is None or kind == "llama" or (kind == "qwen2" and not config.get("use_sliding_window")):
        return
    longest = config.get("max_position_embeddings")
    if not (isinstance(window, int) and isinstance(longest, int) and window >= longest):
        raise _unsupported(path, f"a sliding window of {window}", "supported is attention to every position")


def _rope(path: Path, config: Config) -> Rope:
    """Return the positions: `rope_parameters`, or the older `rope_theta` and `rope_scaling`."""
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(said, dict):
        raise damaged(path, "the parameters of rope are no object")
    theta = _number(path, {"rope_theta": 1e4, **_present(config, "rope_theta"), **said}, "rope_theta")
    if {**config, **said}.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise _unsupported(path, "rope on part of a head", "supported is rope on whole heads")
    kind = said.get("rope_type", said.get("type", "default"))
    if kind == "default":
        return Rope(theta=theta)
    if kind == "linear":
        return Rope(theta=theta, scaling=LinearScaling(factor=_factor(path, said)))
    if kind == "llama3":
        original = {**_original(config), **said}
        scaling = Llama3Scaling(
            factor=_factor(path, said),
            low=_number(path, said, "low_freq_factor"),
            high=_number(path, said, "high_freq_factor"),
            original=_whole(path, original, "original_max_position_embeddings"),
        )
        return Rope(theta=theta, scaling=scaling)
    if kind == "yarn":
        return Rope(theta=theta, scaling=_yarn(path, config, said))
    if kind == "dynamic":
        help = "a larger base for every length is `ntk`; convert the configuration to a larger rope_theta"
        raise _unsupported(path, "rope scaling `dynamic`, whose frequencies change as a text grows", help)
    raise _unsupported(path, f"rope scaling `{kind}`", "supported are llama3, linear and yarn")


def _yarn(path: Path, config: Config, said: Config) -> YarnScaling:
    """Return YaRN with what the configuration leaves out as transformers fills it in."""
    if said.get("truncate") is False:
        raise _unsupported(path, "a ramp of YaRN between numbers that are not whole", "supported is truncate = true")
    original = _whole(path, {**_original(config), **said}, "original_max_position_embeddings")
    said = {k: v for k, v in said.items() if v}
    longest = {"factor": config.get("max_position_embeddings", 0) / original, **said}
    scaling = YarnScaling(
        factor=_factor(path, longest),
        original=original,
        low=_number(path, {"beta_slow": 1, **said}, "beta_slow"),
        high=_number(path, {"beta_fast": 32, **said}, "beta_fast"),
    )
    if "attention_factor" in said:
        return evolve(scaling, attention=_number(path, said, "attention_factor"))
    if "mscale" in said and "mscale_all_dim" in said:
        grown = math.log(scaling.factor) / 10
        above, below = (_number(path, said, key) * grown + 1 for key in ("mscale", "mscale_all_dim"))
        return evolve(scaling, attention=above / below)
    return scaling


def _present(config: Config, key: str) -> Config:
    return {key: config[key]} if config.get(key) is not None else {}


def _original(config: Config) -> Config:
    """Return the length before scaling where the parameters of rope leave it out."""
    return {"original_max_position_embeddings": config.get("max_position_embeddings")}


def _whole(path: Path, config: Config, key: str, default: int | None = None) -> int:
    """Return a positive whole number; `default` for null. Raises LmcError (LM0702)."""
    value = config.get(key, 0)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise damaged(path, f"`{key}` must be a positive whole number" if key in config else f"it has no `{key}`")
    return value


def _number(path: Path, config: Config, key: str) -> float:
    """Return a positive number. Raises LmcError (LM0702)."""
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise damaged(path, f"`{key}` must be a positive number" if key in config else f"it has no `{key}`")
    return float(value)


def _factor(path: Path, said: Config) -> float:
    """Return what frequencies are divided by, at least 1. Raises LmcError (LM0702)."""
    factor = _number(path, said, "factor")
    if factor < 1:
        raise damaged(path, f"`factor` is {factor:g}; it must be at least 1")
    return factor


def _unsupported(path: Path, what: str, help: str) -> LmcError:
    return LmcError(Diagnostic("LM0714", f"`{path}` asks for {what}", None, help=help))
