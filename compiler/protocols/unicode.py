"""Unicode classes and letter cases of patterns, read from the shipped table `grammars/unicode.txt`.

A table and not the interpreter's own: the same pattern means the same bytes under every Python. The table is remade by

    python -m lmc.compiler.protocols.unicode > grammars/unicode.txt
"""

from __future__ import annotations

import pkgutil
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby

Range = tuple[int, int]
LAST = 0x10FFFF


def category(name: str) -> tuple[Range, ...] | None:
    """Return the code points of a general category (`Lu`) or of a group of them (`L`); None for another name."""
    tables = _table()[0]
    return merge([r for key, ranges in tables.items() if key.startswith(name) for r in ranges]) if name else None


def both_cases(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the code points that differ from those of `ranges` at most by their case."""
    more = [
        (code, code)
        for orbit in _table()[1]
        if any(low <= code <= high for code in orbit for low, high in ranges)
        for code in orbit
    ]
    return merge([*ranges, *more])


def merge(ranges: list[Range]) -> tuple[Range, ...]:
    """Return sorted, disjoint ranges that cover the same code points."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the ranges of every code point that sorted, disjoint ranges leave out."""
    gaps, at = [], 0
    for low, high in ranges:
        if low > at:
            gaps.append((at, low - 1))
        at = high + 1
    return (*gaps, (at, LAST)) if at <= LAST else tuple(gaps)


@cache
def _table() -> tuple[dict[str, list[Range]], list[tuple[int, ...]]]:
    categories: dict[str, list[Range]] = {}
    orbits: list[tuple[int, ...]] = []
    table = pkgutil.get_data("lmc.grammars", "unicode.txt")
    assert table is not None
    for line in table.decode("ascii").splitlines():
        kind, *items = line.split()
        if kind == "case":
            orbits.append(tuple(int(item, 16) for item in items))
        elif kind != "#":
            bounds = (item.split("-") for item in items)
            categories[kind] = [(int(low, 16), int(high[0], 16) if high else int(low, 16)) for low, *high in bounds]
    return categories, orbits


def _lines() -> Iterator[str]:
    yield f"# Unicode {unicodedata.unidata_version}: general categories, then letters that differ by case only."
    found: dict[str, list[str]] = {}
    for name, codes in groupby(range(LAST + 1), lambda code: unicodedata.category(chr(code))):
        if name not in ("Cn", "Cs", "Co"):
            listed = list(codes)
            found.setdefault(name, []).append(f"{listed[0]:x}" + (f"-{listed[-1]:x}" if len(listed) > 1 else ""))
    for name, ranges in sorted(found.items()):
        yield " ".join((name, *ranges))
    orbits: dict[int, set[int]] = {}
    for code in range(LAST + 1):
        for other in (chr(code).lower(), chr(code).upper()):
            if len(other) == 1 and ord(other) != code:
                joined = {code, ord(other)} | orbits.get(code, set()) | orbits.get(ord(other), set())
                orbits.update(dict.fromkeys(joined, joined))
    for orbit in sorted({tuple(sorted(orbit)) for orbit in orbits.values()}):
        yield " ".join(("case", *(f"{code:x}" for code in orbit)))


if __name__ == "__main__":
    print("\n".join(_lines()))
