"""What sampling should do, written out token by token, and how to tell whether it did."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lmc.runtime.generation.sampling import Sampling

MASK = (1 << 64) - 1


def mixed(value: int) -> int:
    """splitmix64 as published, on whole numbers."""
    value = value + 0x9E3779B97F4A7C15 & MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def number_of(seed: int, position: int) -> float:
    return (mixed(mixed(seed & MASK) ^ position) >> 11) / 2**53


def distribution(
    sampling: Sampling,
    logits: Sequence[float],
    context: Sequence[int] = (),
    generated: Sequence[int] = (),
    margin: float = 0.0,
) -> list[float] | None:
    """Return the probabilities after everything, token by token; None if a cut is closer than `margin`."""
    values, bias = [float(x) for x in logits], dict(sampling.bias)
    for token, count in enumerate(Counter(generated)[t] for t in range(len(values))):
        value = values[token] + bias.get(token, 0.0) if token not in sampling.banned else -math.inf
        if token in context or count:
            value = value / sampling.repetition if value > 0 else value * sampling.repetition
        values[token] = value - sampling.presence * (count > 0) - sampling.frequency * count
    if sampling.temperature == 0:
        return [float(token == values.index(max(values))) for token in range(len(values))]
    weights = [math.exp((value - max(values)) / sampling.temperature) for value in values]
    order = sorted(range(len(values)), key=lambda token: (-weights[token], token))[: sampling.top_k]
    total, mass, kept = sum(weights[token] for token in order), 0.0, []
    for token in order:
        share = 1.0 if sampling.top_p is None else sampling.top_p
        if sampling.top_p is not None and abs(mass - share) < margin:
            return None
        if kept and mass >= share:
            break
        kept.append(token)
        mass += weights[token] / total
    least = sampling.min_p or 0.0
    if any(abs(weights[token] - least) < margin for token in kept if least):
        return None
    kept = [token for token in kept if weights[token] >= least]
    whole = sum(weights[token] for token in kept)
    return [weights[token] / whole if token in kept else 0.0 for token in range(len(values))]


def assert_follows(counts: np.ndarray, probabilities: Sequence[float]) -> None:
    """Pearson's test at p = 0.0001, the limit by Wilson & Hilferty (1931); nothing outside the support."""
    expected = np.array(probabilities) * counts.sum()
    kept = expected > 0
    assert counts[~kept].sum() == 0
    free = int(kept.sum()) - 1
    statistic = float(((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum())
    limit = free * (1 - 2 / (9 * free) + 3.719 * math.sqrt(2 / (9 * free))) ** 3 if free else 1e-9
    assert statistic <= limit, (statistic, limit, free)
