"""Sampling: one uniform number per (seed, position), turned into a token by the filtered distribution.

Order: temperature, then top-k, then top-p; the rest is renormalised. A row's token depends on its own logits, seed and
position only, never on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

GOLDEN = -7046029254386353131
ALL = 2**31
FIRST = -4658895280553007687
SECOND = -7723592293110705685


@frozen
class Sampling:
    """How one row samples. Temperature 0 is greedy; top_k and top_p None keep everything."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0


def uniform(seeds: Tensor, positions: Tensor) -> Tensor:
    """Return float64[B] in [0, 1) from int64[B] seeds and positions (splitmix64, Steele et al. 2014)."""
    return (_mix(_mix(seeds) ^ positions) >> 11 & ((1 << 53) - 1)).double() / (1 << 53)


def _mix(value: Tensor) -> Tensor:
    value = value + GOLDEN
    value = (value ^ _shift(value, 30)) * FIRST
    value = (value ^ _shift(value, 27)) * SECOND
    return value ^ _shift(value, 31)


def _shift(value: Tensor, bits: int) -> Tensor:
    return value >> bits & ((1 << (64 - bits)) - 1)


@frozen(eq=False)
class Samplers:
    """The settings of the rows of a batch as tensors; `starts` are the positions at which rows count from zero.

    Attributes:
        greedy: whether every row is. settings: by row, as they were given.
    """

    settings: tuple[Sampling, ...]
    greedy: bool
    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seeds: Tensor
    starts: Tensor

    @staticmethod
    def of(settings: Sequence[Sampling], device: torch.device, starts: Sequence[int] | None = None) -> Samplers:
        """Return the samplers of some rows."""
        return Samplers(
            settings=tuple(settings),
            greedy=all(s.temperature == 0 for s in settings),
            temperature=torch.tensor([s.temperature for s in settings], dtype=torch.float64, device=device),
            top_k=torch.tensor([s.top_k or ALL for s in settings], device=device),
            top_p=torch.tensor(
                [1.0 if s.top_p is None else s.top_p for s in settings], dtype=torch.float64, device=device
            ),
            seeds=torch.tensor([s.seed for s in settings], device=device),
            starts=torch.tensor(starts or [0] * len(settings), device=device),
        )

    def replaced(self, row: int, sampling: Sampling, start: int) -> Samplers:
        """Return the samplers with another request in a row."""
        settings = (*self.settings[:row], sampling, *self.settings[row + 1 :])
        starts = self.starts.tolist()
        starts[row] = start
        return Samplers.of(settings, self.starts.device, starts)

    def sample(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return int64[B] tokens of float[B, V] logits for rows of int64[B] tokens so far."""
        greedy = logits.argmax(dim=-1)
        if self.greedy:
            return greedy
        cold = self.temperature == 0
        warm = torch.where(cold, 1.0, self.temperature)
        scaled, order = (logits.double() / warm[:, None]).sort(dim=-1, descending=True, stable=True)
        rank = torch.arange(logits.shape[-1], device=logits.device)
        probabilities = scaled.masked_fill(rank >= self.top_k[:, None], -torch.inf).softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill((before >= self.top_p[:, None]) & (rank > 0), 0.0)
        bounds = probabilities.cumsum(dim=-1)
        drawn = uniform(self.seeds, lengths - self.starts)[:, None] * bounds[:, -1:]
        chosen = (bounds <= drawn).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
        return torch.where(cold, greedy, order.gather(-1, chosen)[:, 0])
