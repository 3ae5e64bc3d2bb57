"""Update rules."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...spec.train import AdamW
from ..registry import builds


@builds(AdamW)
def adamw(spec: AdamW, model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019) over the model, fused; vectors do not decay unless `decay` is "all"."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if spec.decay == "all" or p.ndim >= 2]
    plain = [p for p in parameters if not (spec.decay == "all" or p.ndim >= 2)]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    beta1, beta2 = spec.betas
    return torch.optim.AdamW(groups, lr=spec.lr, betas=(beta1, beta2), eps=spec.eps, fused=True)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the norm of all gradients, a scalar on their device."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def clip(parameters: Iterable[nn.Parameter], norm: Tensor, largest: float) -> None:
    """Scale gradients so that their norm is at most `largest`."""
    torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
