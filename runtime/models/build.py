"""The build path: meta construction, placement, materialisation, initialisation or loading."""

from __future__ import annotations

import torch

from ...spec.model import Transformer
from ..placement import Placement
from .sites import Site
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


def replace_positions(model: TransformerModel, spec: Transformer) -> None:
    """Give a model the positions of a spec that has the same parameters; observers of its sites stay."""
    if model.spec == spec:
        return
    with torch.device("meta"):
        fresh = TransformerModel(spec)
    for name in {*_computed(model), *_computed(fresh)}:
        module = getattr(fresh, name)
        setattr(model, name, None if module is None else module.to_empty(device=model.embed.weight.device))
    model.spec = spec
    reset_buffers(model)


def _computed(model: TransformerModel) -> list[str]:
    """Return the parts of a model that have no parameters and are no place to look at."""
    parts = model.named_children()
    return [name for name, part in parts if not isinstance(part, Site) and next(part.parameters(), None) is None]


def reset_buffers(model: TransformerModel) -> None:
    """Recompute what no checkpoint holds."""
    model.reach.reset_parameters()
    if model.rope is not None:
        model.rope.reset_parameters()
