"""What Hugging Face calls the parameters of a model."""

from __future__ import annotations

import re

EMBED, HEAD = "embed.weight", "unembed.weight"
"""The parameters with a row per token id."""

_OUTSIDE = {EMBED: "model.embed_tokens.weight", "norm.gain": "model.norm.weight", HEAD: "lm_head.weight"}
_INSIDE = {
    "mixer_norm.gain": "input_layernorm.weight",
    "mlp_norm.gain": "post_attention_layernorm.weight",
    **{f"mixer.{name}.{kind}": f"self_attn.{name}_proj.{kind}" for name in "qkvo" for kind in ("weight", "bias")},
    **{f"mlp.{n}.{kind}": f"mlp.{n}_proj.{kind}" for n in ("gate", "up", "down") for kind in ("weight", "bias")},
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
COMPUTED = re.compile(r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")
"""Buffers that old folders hold and that follow from the configuration."""


def tensor_name(path: str) -> str:
    """Return the name of the tensor that holds a parameter. Raises KeyError for one that Llama does not have."""
    inside = _BLOCK.fullmatch(path)
    return f"model.layers.{inside[1]}.{_INSIDE[inside[2]]}" if inside else _OUTSIDE[path]
