"""Batches: examples laid out in memory, with what is trained and by how much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from attrs import evolve, frozen
from torch import Tensor

from ...spec.estimate import LARGEST_MICRO_BATCH
from ..models.layout import SequenceLayout
from ..placement import Placement

MAX_PADDING = 0.10


@frozen
class Example:
    """A document: int32[N] tokens, and bool[N] which positions are trained to predict the token that follows."""

    tokens: npt.NDArray[np.int32]
    trained: npt.NDArray[np.bool_]


@frozen(eq=False)
class Batch:
    """One micro-batch of a step.

    Attributes:
        tokens: int64[B, T]. layout: how documents lie in it.
        loss_index: int64[K], trained slots as indices into B * T. targets: int64[K]. weight: float32[K].
        n_loss: sum of weights of the whole step, over all its micro-batches.
    """

    tokens: Tensor
    layout: SequenceLayout
    loss_index: Tensor
    targets: Tensor
    weight: Tensor
    n_loss: float

    def to(self, placement: Placement) -> Batch:
        """Return the batch on the placement's device."""
        device = placement.device
        return evolve(
            self,
            tokens=self.tokens.to(device),
            layout=self.layout.to(placement),
            loss_index=self.loss_index.to(device),
            targets=self.targets.to(device),
            weight=self.weight.to(device, placement.dtype),
        )


def collate(examples: Sequence[Example], micro_batch: int | None = None, elsewhere: int = 0) -> list[Batch]:
    """Return the micro-batches of one step: examples sorted by length, one a row, padded to the longest of each.

    `micro_batch` examples go together if given; otherwise as many as keep padding within 10 %. `elsewhere` positions of
    the same step are trained by others.
    """
    lengths = [len(example.tokens) for example in examples]
    order = sorted(range(len(examples)), key=lengths.__getitem__)
    n_loss = float(elsewhere + np.count_nonzero(np.concatenate([example.trained for example in examples])))
    groups = _chunks(order, micro_batch) if micro_batch else _groups(order, lengths)
    return [_batch([examples[i] for i in group], n_loss) for group in groups]


def cropped(example: Example, length: int | None) -> Example:
    """Return the first `length` tokens of an example, 1 or more, and the one that follows them; None: the example."""
    if length is None or len(example.tokens) <= length + 1:
        return example
    trained = example.trained[: length + 1].copy()
    trained[-1] = False
    return Example(example.tokens[: length + 1], trained)


def padding(lengths: Sequence[int]) -> float:
    """Return the share of slots that are padding if examples of these lengths make a step."""
    ordered = sorted(range(len(lengths)), key=lengths.__getitem__)
    slots = sum(len(group) * max(lengths[i] for i in group) for group in _groups(ordered, list(lengths)))
    return 1 - sum(lengths) / slots


def _chunks(order: list[int], size: int) -> list[list[int]]:
    return [order[at : at + size] for at in range(0, len(order), size)]


def _groups(order: list[int], lengths: list[int]) -> list[list[int]]:
    """Cut from the longest down so that each group's padding stays within the bound."""
    groups: list[list[int]] = []
    group: list[int] = []
    used = longest = 0
    for i in reversed(order):
        slots = (len(group) + 1) * longest if group else lengths[i]
        if group and (slots - used - lengths[i] > MAX_PADDING * slots or slots > LARGEST_MICRO_BATCH):
            groups.append(group)
            group, used = [], 0
        if not group:
            longest = lengths[i]
        group.append(i)
        used += lengths[i]
    groups.append(group)
    return groups


def _batch(examples: Sequence[Example], n_loss: float) -> Batch:
    lengths = np.array([len(example.tokens) for example in examples])
    slots = np.arange(lengths.max())
    used = slots < lengths[:, None]
    tokens = np.zeros(used.shape, dtype=np.int64)
    tokens[used] = np.concatenate([example.tokens for example in examples])
    trained = np.zeros(used.shape, dtype=np.bool_)
    trained[used] = np.concatenate([example.trained for example in examples])
    trained[np.arange(len(examples)), lengths - 1] = False
    index = np.flatnonzero(trained)
    return Batch(
        tokens=torch.from_numpy(tokens),
        layout=SequenceLayout(
            documents=torch.from_numpy(used.astype(np.int32) - 1),
            positions=torch.from_numpy(slots * used),
            lengths=torch.from_numpy(lengths),
            packed=False,
        ),
        loss_index=torch.from_numpy(index),
        targets=torch.from_numpy(tokens.ravel()[index + 1]),
        weight=torch.ones(len(index)),
        n_loss=n_loss,
    )
