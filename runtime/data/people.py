"""Made people: who they are and what is known of them (ITL, arXiv 2508.20755, and its reference generator)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.store import People

YEARS = (1950, 2000)


@frozen
class Pools:
    """What people are made from."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    occupations: tuple[str, ...]

    def values(self, draw: random.Random) -> dict[str, str]:
        """Draw the values of one person, in the order of the reference generator; every column that there may be."""
        day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(*YEARS)
        return {
            "birth_date": f"{day}/{month}/{year}",
            "birth_year": str(year),
            "birth_place": draw.choice(self.countries),
            "current_address": draw.choice(self.cities),
            "occupation": draw.choice(self.occupations),
        }


def load_pools(spec: People, root: Path) -> Pools:
    """Read the pools, one entry a line; shipped ones where the spec names no file.

    Raises LmcError (LM0702) for a pool without entries.
    """
    return Pools(*(_pool(name, getattr(spec, name), root) for name in Pools.__annotations__))


def _pool(name: str, path: str | None, root: Path) -> tuple[str, ...]:
    if path is None:
        return _shipped(name)
    entries = tuple(line for line in (root / path).read_text(encoding="utf-8").splitlines() if line)
    if not entries:
        raise LmcError(Diagnostic("LM0702", f"`{root / path}` has no entries", None, help="one entry a line"))
    return entries


@cache
def _shipped(name: str) -> tuple[str, ...]:
    text = (files("lmc.runtime.data.pools") / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def people(pools: Pools, seed: int) -> Iterator[dict[str, str]]:
    """Yield every person, name and values, in the order that the seed gives.

    Source: the reference generator of ITL: every first-last pair, shuffled; then, in that order, the draws.
    """
    draw = random.Random(seed)
    names = [f"{first} {last}" for first, last in itertools.product(pools.first_names, pools.last_names)]
    draw.shuffle(names)
    for name in names:
        yield {"name": name, **pools.values(draw)}
