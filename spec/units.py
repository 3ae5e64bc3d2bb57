"""Quantities of the language: what a number's suffix means, and the marker types that fields are annotated with.

A marker is the plain Python value with a meaning for the type checker: a `Size` is an int of bytes, a
`Duration` a float of seconds, `Steps` an int of optimiser steps (a computed value is rounded to one).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NewType

from attrs import frozen

Steps = NewType("Steps", int)
Size = NewType("Size", int)
Duration = NewType("Duration", float)
FilePath = NewType("FilePath", str)

COUNT_SUFFIXES: dict[str, int] = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "B": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
SIZE_SUFFIXES: dict[str, int] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
DURATION_SUFFIXES: dict[str, Decimal] = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}


def written(value: float, suffixes: Mapping[str, int | Decimal]) -> str:
    """Return a quantity in the largest unit that divides it: `2h`, `90s`, `70GiB`; in the smallest if none does."""
    exact = Decimal(repr(value))
    units = sorted(suffixes.items(), key=lambda unit: -unit[1])
    name, size = next(((name, size) for name, size in units if exact % size == 0), units[-1])
    return f"{(exact / size).normalize():f}{name}"


@frozen
class Pattern:
    """A protocol literal: `text` as written between the quotes, and whether it is a regex (`re"..."`)."""

    text: str
    regex: bool = False


@frozen
class Glob:
    """A set of files by pattern, sorted by code point; relative to the folder of the compiled spec."""

    pattern: str


@frozen
class Env:
    """A variable of the environment of the run; its value is written nowhere."""

    name: str
