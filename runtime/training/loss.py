"""The loss: cross entropy of trained positions only, over the weights of the whole step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from ...spec.estimate import LOGITS_BYTES
from ...spec.train import Loss
from ..data.batch import Batch
from ..models.transformer import TransformerModel


@frozen(eq=False)
class Arithmetic:
    """What a loss is computed with: as it is written here, or compiled.

    Attributes:
        hidden: like `TransformerModel.hidden`, of a model, tokens and their layout. losses: like `summed_loss`.
    """

    hidden: Callable[..., Tensor]
    losses: Callable[..., Tensor]


def batch_loss(
    model: TransformerModel, batch: Batch, spec: Loss | None = None, arithmetic: Arithmetic | None = None
) -> Tensor:
    """Return sum(weight * loss) / n_loss in nats, a scalar; logits are built at trained positions only.

    Summed over a step's micro-batches it is the mean over the step, however it is cut. Where logits would take more
    than `LOGITS_BYTES` they are built in chunks, and the gradients of head and hidden states at once with them.

    Args:
        model: gives hidden states and logits.
        batch: a micro-batch of K trained positions.
        spec: what is added to cross entropy; None: nothing.
        arithmetic: what computes it; None: nothing compiled.
    """
    by = EAGER if arithmetic is None else arithmetic
    hidden = by.hidden(model, batch.tokens, batch.layout).flatten(0, 1)[batch.loss_index]
    rows = max(1, LOGITS_BYTES // (4 * model.spec.num_ids()))
    if len(hidden) <= rows:
        return by.losses(model, hidden, batch.targets, batch.weight, spec) / batch.n_loss
    if not torch.is_grad_enabled():
        return torch.stack([_part(model, hidden[cut], batch, cut, spec) for cut in _cuts(len(hidden), rows)]).sum()
    weights = [parameter for parameter in model.unembed.parameters() if parameter.requires_grad]
    total: Tensor = _Chunked.apply(model, batch, spec, rows, hidden, *weights)  # type: ignore[no-untyped-call]
    return total


def summed_loss(model: TransformerModel, hidden: Tensor, targets: Tensor, weight: Tensor, spec: Loss | None) -> Tensor:
    """Return sum(weight * loss) of hidden states float[K, D] over logits in float32 at least."""
    logits = model.head(hidden)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    smoothing = 0.0 if spec is None else spec.smoothing
    losses = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    if spec is not None and spec.z:
        losses = losses + spec.z * logits.logsumexp(-1).square()
    return (losses * weight).sum()


EAGER = Arithmetic(TransformerModel.hidden, summed_loss)


def _part(model: TransformerModel, hidden: Tensor, batch: Batch, cut: slice, spec: Loss | None) -> Tensor:
    """Return the part of the loss of positions `cut`, whose hidden states are float[K, D]."""
    return summed_loss(model, hidden, batch.targets[cut], batch.weight[cut], spec) / batch.n_loss


def _cuts(count: int, rows: int) -> Iterator[slice]:
    """Yield the fewest slices of `count` positions of at most `rows`, of even length."""
    chunks = -(-count // rows)
    size = -(-count // chunks)
    for at in range(0, count, size):
        yield slice(at, min(at + size, count))


class _Chunked(torch.autograd.Function):
    """The loss of hidden states float[K, D], chunk by chunk, no two of whose logits are in memory together.

    Gradients are taken as each chunk goes by, so the head is computed once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        model: TransformerModel,
        batch: Batch,
        spec: Loss | None,
        rows: int,
        hidden: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        """Return the loss, and keep its gradients for hidden states and head."""
        to_hidden = torch.empty_like(hidden)
        sums = [torch.zeros_like(w, dtype=torch.promote_types(w.dtype, torch.float32)) for w in weights]
        total = torch.zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        for cut in _cuts(len(hidden), rows):
            with torch.enable_grad():
                part = hidden[cut].detach().requires_grad_()
                loss = _part(model, part, batch, cut, spec)
                found, *more = torch.autograd.grad(loss, [part, *weights])
            to_hidden[cut] = found
            for known, gradient in zip(sums, more, strict=True):
                known.add_(gradient)
            total += loss.detach()
        ctx.gradients = [to_hidden, *(known.to(w.dtype) for known, w in zip(sums, weights, strict=True))]
        return total.to(loss.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the kept gradients times that of the loss; they are given out once."""
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, None, None, *(gradient.mul_(upstream[0]) for gradient in gradients)
