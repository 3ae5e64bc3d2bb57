"""Amounts as people read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def about(number: float) -> str:
    """Return a number in full below a million, then to three digits."""
    if abs(number) < 1_000_000:
        return f"{number:,.0f}"
    for size, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}" if number / size < 1000 else f"{number:.2e}"
    raise AssertionError(number)


def in_bytes(number: float) -> str:
    """Return bytes in the largest unit of which there is one."""
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """Return a time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}min {whole % 60:02}s"
    hours = whole // 3600
    return f"{hours}h {whole % 3600 // 60:02}min" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def span(values: Sequence[Any], shown: Callable[[float], str] = about) -> str:
    """Return the least and the most of values; what is None is known only to the run."""
    known = [value for value in values if value is not None]
    if not known:
        return "known only to the run"
    low, high = shown(min(known)), shown(max(known))
    return low if low == high else f"{low} to {high}"
