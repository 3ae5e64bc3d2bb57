"""The build path: meta construction, placement, materialisation, initialisation or loading."""

from __future__ import annotations

import torch

from ...spec.model import Transformer
from ..placement import Placement
from .transformer import TransformerModel


def build_model(spec: Transformer, placement: Placement, seed: int | None) -> TransformerModel:
    """Return a model on the placement, its weights drawn from `seed`; None leaves them undefined for loading."""
    with torch.device("meta"):
        model = TransformerModel(spec)
    model = model.to(placement.dtype)
    model.to_empty(device=placement.device)
    if spec.tied:
        model.unembed.weight = model.embed.weight
    if seed is None:
        reset_buffers(model)
    else:
        model.init_weights(seed)
    return model


def reset_buffers(model: TransformerModel) -> None:
    """Recompute what no checkpoint holds."""
    model.reach.reset_parameters()
    if model.rope is not None:
        model.rope.reset_parameters()
