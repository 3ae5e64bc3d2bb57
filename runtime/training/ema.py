"""A running mean of the weights, corrected for its start: after update t it is a mean of the weights of 1 to t.

    mean_t = (1 - d) / (1 - d^t) * sum over i of d^(t - i) w_i

The correction is Adam's (Kingma & Ba 2015, section 3), so the drawn weights have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Mean = dict[str, Tensor]
"""The mean by parameter path, tied weights once, in float32 at least: what a checkpoint keeps and fills again."""


def start(model: nn.Module) -> Mean:
    """Return a mean of no step yet: a copy of the weights, which the first update replaces."""
    return {
        path: parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32), copy=True)
        for path, parameter in model.named_parameters()
    }


@torch.no_grad()
def update(mean: Mean, model: nn.Module, decay: float, step: int) -> None:
    """Take in the weights after a step, in place and without a host round trip.

    Args:
        mean: of the steps before.
        model: as it is after the step's update.
        decay: d, above 0 and below 1.
        step: t, counted from 1 over the steps that updated the weights.
    """
    share = (1.0 - decay) / (1.0 - decay**step)
    weights = dict(model.named_parameters())
    kept = list(mean.values())
    torch._foreach_lerp_(kept, [weights[path].detach().to(value.dtype) for path, value in mean.items()], share)


@torch.no_grad()
def update_if(finite: Tensor, mean: Mean, model: nn.Module, decay: float, updates: Tensor) -> None:
    """Do what `update` does if `finite`, else nothing, where only the device knows which.

    Args:
        finite: bool[] on the device.
        mean: of the updates before.
        model: as it is after the step.
        decay: d, above 0 and below 1.
        updates: float64[] on the device, t - 1; t afterwards if `finite`.
    """
    updates += finite
    share = torch.where(finite, (1.0 - decay) / (1.0 - torch.pow(decay, updates)), 0.0)
    weights = dict(model.named_parameters())
    for path, value in mean.items():
        value.lerp_(weights[path].detach().to(value.dtype), share.to(value.dtype))


@contextmanager
def swapped(model: nn.Module, mean: Mean) -> Iterator[None]:
    """Let the model have the mean as its weights inside; afterwards they are what they were, to the bit.

    Values move and tensors stay, so captured graphs, optimisers and tied weights go on as before.
    """
    kept = {path: parameter.detach().clone() for path, parameter in model.named_parameters()}
    load(model, mean)
    try:
        yield
    finally:
        load(model, kept)


@torch.no_grad()
def load(model: nn.Module, mean: Mean) -> None:
    """Give the model the mean as its weights, rounded to their dtype."""
    for path, parameter in model.named_parameters():
        parameter.copy_(mean[path])
