"""The loss: cross entropy of trained positions only, over the weights of the whole step."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch
from ..models.transformer import TransformerModel


def batch_loss(model: TransformerModel, batch: Batch) -> Tensor:
    """Return sum(weight * CE) / n_loss in nats, a scalar; logits are built at trained positions only.

    Summed over a step's micro-batches it is the mean over the step, however it is cut.
    """
    hidden = model.hidden(batch.tokens, batch.layout)
    logits = model.head(hidden.flatten(0, 1)[batch.loss_index])
    losses = F.cross_entropy(logits, batch.targets, reduction="none")
    return (losses * batch.weight).sum() / batch.n_loss
