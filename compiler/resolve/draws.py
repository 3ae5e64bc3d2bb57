"""Samples of axes that are drawn.

    u = 100 bits of blake2b(seed, path, i),   uniform = low + (high - low) u,   loguniform = exp of the logarithms' one

A sample is a function of the seed, the axis' path and its number alone, so that another axis moves none of them.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from .values import EXACT, Distribution

BITS = 100
"""Few enough that 34 digits hold them, so that no sample is rounded up to the end of its range."""


def sample(distribution: Distribution, seed: int, path: str, number: int) -> Any:
    """Return sample `number` of the axis `path`."""
    digest = hashlib.blake2b(f"{seed}\0{path}\0{number}".encode(), digest_size=16).digest()
    bits = int.from_bytes(digest, "big") >> (128 - BITS)
    return distribution.at(EXACT.divide(Decimal(bits), Decimal(2**BITS)))
