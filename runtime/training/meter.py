"""Rates: tokens per second and the share of the machine's arithmetic that a training uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from attrs import define, frozen

from ...spec.model import Attention, Transformer
from ...spec.records import TrainRecord
from ..data.batch import Batch
from .job import Progress
from .machine import matmul_limit
from .memory import peak_memory


@frozen
class Work:
    """What a step computes: tokens that predict the next one, trained positions, and the operations that needs."""

    tokens: int
    loss_tokens: int
    flops: float


def work_of(model: Transformer, batches: Sequence[Batch]) -> Work:
    """Return the work of the micro-batches of a step, which are still on the processor.

    The last token of an example predicts none and does not count: an example of a text has `seq_len`, as where a spec
    or `estimate` counts tokens. Operations are 6 per matmul weight and token, the head's at trained positions only, and
    6 L S D per token for causal attention of S positions, of which a window of W with M sinks leaves r (2 S - r) / S^2,
    r = min(W + M, S): forward and backward pass, nothing that is computed again, no padding.
    """
    lengths = np.concatenate([batch.layout.lengths.numpy() for batch in batches]) - 1
    tokens, loss_tokens = int(lengths.sum()), int(batches[0].n_loss)
    width, mixer = model.width, model.mixer
    block = mixer.num_params(width) + model.mlp.num_params(width)
    channels = mixer.heads * mixer.head_size(width) if isinstance(mixer, Attention) else 0
    hidden = np.zeros_like(lengths)
    if isinstance(mixer, Attention) and mixer.window is not None:
        hidden = np.maximum(0, lengths - mixer.window - mixer.sinks)
    squares = float((np.square(lengths, dtype=np.float64) - np.square(hidden, dtype=np.float64)).sum())
    dense = 6.0 * (model.layers * block * tokens + model.num_ids() * width * loss_tokens)
    return Work(tokens, loss_tokens, dense + 6.0 * model.layers * channels * squares)


@define
class Meter:
    """Turns progress into records with times and rates.

    Attributes:
        limit: the machine's matmul rate in FLOP/s, 0 where it could not be measured.
        flops: operations since the last record.
    """

    began: float
    tokens: int
    device: torch.device
    limit: float = 0.0
    flops: float = 0.0
    at: float = 0.0

    @classmethod
    def start(cls, tokens: int, device: torch.device, dtype: torch.dtype) -> Meter:
        """Return a meter of a training that has seen `tokens` and computes in `dtype`."""
        limit = 0.0
        with suppress(RuntimeError):
            limit = matmul_limit(device, dtype)
        return cls(began=time.monotonic(), tokens=tokens, device=device, limit=limit)

    def record(self, progress: Progress, rate: float, norm: float) -> TrainRecord:
        """Return the record of the present step."""
        now = time.monotonic()
        seconds = max(1e-9, now - (self.at or self.began))
        speed = (progress.tokens - self.tokens) / seconds
        share = self.flops / seconds / self.limit if self.limit else None
        self.tokens, self.flops, self.at = progress.tokens, 0.0, now
        return TrainRecord(
            step=progress.step,
            loss=progress.loss,
            lr=rate,
            grad_norm=norm,
            tokens=progress.tokens,
            loss_tokens=progress.loss_tokens,
            seconds=now - self.began,
            tokens_per_second=speed,
            mfu=share,
            memory=peak_memory(self.device),
            skipped=progress.skipped,
        )
