"""Sampling: one uniform number per (seed, position), turned into a token by the filtered distribution.

Order: temperature, then top-k, then top-p; the rest is renormalised. A row's token depends on its own logits, seed and
position only, never on the batch.
"""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

GOLDEN = -7046029254386353131
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


def sample(logits: Tensor, settings: list[Sampling], positions: Tensor) -> Tensor:
    """Return int64[B] tokens of float[B, V] logits; `positions` int64[B] count each row's tokens so far."""
    greedy = logits.argmax(dim=-1)
    if all(s.temperature == 0 for s in settings):
        return greedy
    device = logits.device
    vocab = logits.shape[-1]
    temperature = torch.tensor([s.temperature or 1.0 for s in settings], device=device, dtype=torch.float64)
    top_k = torch.tensor([s.top_k or vocab for s in settings], device=device)
    top_p = torch.tensor([1.0 if s.top_p is None else s.top_p for s in settings], device=device, dtype=torch.float64)
    seeds = torch.tensor([s.seed for s in settings], device=device)
    scaled, order = (logits.double() / temperature[:, None]).sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(vocab, device=device)
    probabilities = scaled.masked_fill(rank >= top_k[:, None], -torch.inf).softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities.masked_fill((before >= top_p[:, None]) & (rank > 0), 0.0)
    bounds = probabilities.cumsum(dim=-1)
    drawn = uniform(seeds, positions)[:, None] * bounds[:, -1:]
    chosen = (bounds <= drawn).sum(dim=-1, keepdim=True).clamp(max=vocab - 1)
    tokens = order.gather(-1, chosen)[:, 0]
    return torch.where(torch.tensor([s.temperature == 0 for s in settings], device=device), greedy, tokens)
