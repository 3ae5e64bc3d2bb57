"""From probabilities and one uniform number to a token, exactly.

Probabilities are summed as whole multiples of 2**-52, so that no sum depends on the order of its terms: filters and
draws are the same to the bit whatever the batch and the way they are computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GOLDEN = -7046029254386353131
FIRST = -4658895280553007687
SECOND = -7723592293110705685
UNIT = 2.0**52
FEW = 4096
"""Vocabularies up to this size cost less in numpy than in torch when a batch has one row."""


def uniform(seeds: Tensor, positions: Tensor) -> Tensor:
    """Return float64[B] in [0, 1) from int64[B] seeds and positions (splitmix64, Steele et al. 2014)."""
    return numbers_of(_mix(seeds), positions)


def key_of(seed: int) -> int:
    """Return the key of the low 64 bits of a seed, a signed 64-bit number."""
    return int(_mix(np.array([seed & (1 << 64) - 1], dtype=np.uint64).view(np.int64))[0])


def numbers_of(keys: Tensor, positions: Tensor) -> Tensor:
    """Return float64 uniform numbers in the shape of int64 keys (`key_of` seeds) and positions."""
    if keys.device.type == "cpu":
        # An operation on a few values costs less in numpy.
        numbers: npt.NDArray[np.float64] = (_mix(keys.numpy() ^ positions.numpy()) >> 11 & ((1 << 53) - 1)) * 2.0**-53
        return torch.from_numpy(numbers)
    bits: Tensor = _mix(keys ^ positions) >> 11 & ((1 << 53) - 1)
    return bits.double() * 2.0**-53


def _mix(value: Any) -> Any:
    value = value + GOLDEN
    value = (value ^ _shift(value, 30)) * FIRST
    value = (value ^ _shift(value, 27)) * SECOND
    return value ^ _shift(value, 31)


def _shift(value: Any, bits: int) -> Any:
    return value >> bits & ((1 << (64 - bits)) - 1)


def largest(logits: Tensor) -> Tensor:
    """Return int64[B], the largest logit of each row, of equal ones the first."""
    if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(logits.numpy().argmax(axis=-1))
    return logits.argmax(dim=-1)


def masses_of(probabilities: Tensor) -> Tensor:
    """Return int64, float32 probabilities as multiples of 1 / UNIT, rounded down; a whole row stays below 2**53."""
    return (probabilities * UNIT).long()


def nucleus(probabilities: Tensor, dropped: Tensor | None, rest: Tensor) -> Tensor:
    """Return bool[B, V], the tokens that top-k and then top-p keep.

    Sorted values say how many of the smallest go, and so down to which probability tokens stay; ids are not sorted.

    Args:
        probabilities: float32[B, V].
        dropped: int64[B, 1], how many tokens top-k drops; None: no row has one.
        rest: float64[B, 1], the share that top-p may drop of what top-k keeps.
    """
    ordered = _ascending(probabilities)
    sums = masses_of(ordered).cumsum(dim=-1)
    total = sums[:, -1:]
    if dropped is None:
        most = (total * rest).long()
    else:
        below = torch.where(dropped > 0, sums.gather(-1, (dropped - 1).clamp_(min=0)), 0)
        most = below + ((total - below) * rest).long()
    drop = torch.searchsorted(sums, most, right=True).clamp_(max=probabilities.shape[-1] - 1)
    least = ordered.gather(-1, drop)
    mask = probabilities >= least
    if probabilities.device.type == "cpu" and torch.equal(drop, torch.searchsorted(ordered, least)):
        return mask
    tied = probabilities == least
    staying = torch.searchsorted(ordered, least, right=True) - drop
    return mask & (~tied | (tied.cumsum(dim=-1) <= staying))


def _ascending(values: Tensor) -> Tensor:
    """Return each row sorted; numpy's vectorised sort of values takes a tenth of the time of torch's on the CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def draw_one(
    probabilities: npt.NDArray[np.float32], number: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> int:
    """Return what `nucleus`, min-p and `draw` give, of float32[V] probabilities and one uniform number."""
    num_ids = len(probabilities)
    masses = (probabilities * UNIT).astype(np.int64)
    if top_k or top_p:
        ordered = np.sort(probabilities)
        sums = (ordered * UNIT).astype(np.int64).cumsum()
        dropped = num_ids - min(top_k or num_ids, num_ids)
        below = int(sums[dropped - 1]) if dropped else 0
        most = below + int((int(sums[-1]) - below) * (1 - (top_p or 1.0)))
        drop = min(int(sums.searchsorted(most, "right")), num_ids - 1)
        least = ordered[drop]
        masses *= probabilities >= least
        if drop != ordered.searchsorted(least):
            staying = ordered.searchsorted(least, "right") - drop
            masses[np.flatnonzero(probabilities == least)[staying:]] = 0
    if min_p:
        masses *= probabilities >= np.float32(min_p) * probabilities.max()
    sums = masses.cumsum()
    return min(int(sums.searchsorted(int(number * int(sums[-1])), "right")), num_ids - 1)


def draw(masses: Tensor, numbers: Tensor) -> Tensor:
    """Return int64[B, 1], the first id whose cumulative mass exceeds the share `numbers`, float64[B, 1], of the whole.

    A number below 1 times the whole is below the whole after rounding too, so the mass of that id is never zero.
    """
    sums = masses.cumsum(dim=-1)
    drawn = (numbers * sums[:, -1:]).long()
    return torch.searchsorted(sums, drawn, right=True).clamp_(max=masses.shape[-1] - 1)
