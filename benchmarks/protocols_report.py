"""The tables of bench_protocols.py, made of what it measured on one vocabulary."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

PEERS = ("xgrammar", "llguidance", "outlines_core")
SHORT = {"lmc": "lmc", "xgrammar": "xgr", "llguidance": "llg", "outlines_core": "outl"}
TOTAL = "compile/total/median"
Worst = tuple[float, str]


class Figures:
    """What was measured on one vocabulary: by engine, then `prepare`, `patterns` by key, `growth` and `long`."""

    def __init__(self, vocabulary: str, found: dict[str, Any]) -> None:
        self.vocabulary, self.found = vocabulary, found
        self.keys = tuple(found["lmc"]["patterns"])
        self.peers = tuple(peer for peer in PEERS if peer in found)

    def get(self, engine: str, path: str) -> float | None:
        """Return a figure by the names that lead to it, or None if it was not measured."""
        value: Any = self.found.get(engine)
        for name in path.split("/"):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def of(self, engine: str, key: str, path: str) -> float | None:
        return self.get(engine, f"patterns/{key}/{path}")

    def ratio(self, peer: str, key: str, path: str, own: str = "") -> float | None:
        return divided(self.of("lmc", key, own or path), self.of(peer, key, path))

    def worst(self, keys: Iterable[str], path: str) -> Worst | None:
        return largest((self.of("lmc", key, path), key) for key in keys)

    def worst_ratio(self, peer: str, keys: Iterable[str], path: str) -> Worst | None:
        return largest((self.ratio(peer, key, path), key) for key in keys)

    def mean_ratio(self, peer: str, path: str) -> Worst | None:
        """Return the geometric mean over patterns."""
        found = {key: ratio for key in self.keys if (ratio := self.ratio(peer, key, path)) is not None}
        return (math.exp(sum(map(math.log, found.values())) / len(found)), "".join(found)) if found else None


def divided(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def largest(found: Iterable[tuple[float | None, str]]) -> Worst | None:
    return max(((value, key) for value, key in found if value is not None), default=None)


def number(value: float | None, scale: float = 1.0) -> str:
    """Return three significant digits."""
    if value is None:
        return "-"
    scaled = value * scale
    return f"{scaled:.{max(0, 2 - math.floor(math.log10(abs(scaled))))}f}" if scaled else "0"


def times(value: float | None) -> str:
    return "-" if value is None else f"{number(value)}x"


def show(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    print(f"\n{title}")
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def tables(figures: Figures) -> None:
    """Print one table per topic."""
    preparation(figures)
    compilation(figures)
    sizes(figures)
    starts(figures)
    advances(figures)
    masks(figures)
    constraining(figures)
    growth(figures)
    agreement(figures)


def preparation(figures: Figures) -> None:
    def row(engine: str) -> list[str]:
        found = [figures.get(engine, f"prepare/{name}") for name in ("median", "least", "most")]
        peak = figures.get(engine, "peak_bytes/rest"), figures.get(engine, "peak_bytes/f")
        ratio = divided(figures.get("lmc", "prepare/median"), found[0])
        return [engine, *(number(value, 1e3) for value in found), times(ratio), *(number(b, 1e-6) for b in peak)]

    header = ("engine", "ms", "least", "most", "lmc to it", "process MB", "with f only")
    show("Vocabulary preparation, and the most memory of the process", header, map(row, ("lmc", *figures.peers)))


def compilation(figures: Figures) -> None:
    header = [
        "",
        "compile",
        "lift",
        "lmc",
        *(SHORT[p] for p in figures.peers),
        *(f"lmc/{SHORT[p]}" for p in figures.peers),
    ]

    def row(key: str) -> list[str]:
        parts = [figures.of("lmc", key, f"compile/{name}/median") for name in ("compile", "lift", "total")]
        peers = [figures.of(peer, key, TOTAL) for peer in figures.peers]
        ratios = [figures.ratio(peer, key, TOTAL) for peer in figures.peers]
        return [key, *(number(value, 1e3) for value in parts + peers), *map(times, ratios)]

    show("Compilation, ms", header, map(row, figures.keys))


def sizes(figures: Figures) -> None:
    def row(key: str) -> list[str]:
        counts = [f"{figures.of('lmc', key, name) or 0:.0f}" for name in ("states", "columns")]
        return [key, *counts, *(number(figures.of(engine, key, "bytes"), 1e-6) for engine in ("lmc", "xgrammar"))]

    show("Size", ("", "states", "columns", "lmc MB", "xgr MB (own figure)"), map(row, figures.keys))


def starts(figures: Figures) -> None:
    engines = ("lmc", "xgrammar", "llguidance")

    def row(key: str) -> list[str]:
        found = [number(figures.of(engine, key, "start/median"), 1e3) for engine in engines]
        return [key, *found, *(times(figures.ratio(peer, key, "start/median")) for peer in engines[1:])]

    header = ("", "lmc", "xgr", "llg", "lmc/xgr", "lmc/llg")
    show("Compilation and the first 10 masks of 64 rows, ms", header, map(row, figures.keys))


OWN_STEPS = ("advance_64", "advance_1", "window_64", "window_1", "events_64", "events_1", "events_window_64")


def advances(figures: Figures) -> None:
    def row(key: str) -> list[str]:
        own = [number(figures.of("lmc", key, f"{name}/median"), 1e6) for name in OWN_STEPS]
        names = ("advance_64", "advance_1")
        peers = [figures.of(p, key, f"{name}/median") for p in ("xgrammar", "llguidance") for name in names]
        ratio = figures.ratio("xgrammar", key, "advance_64/median")
        return [key, *own, *(number(value, 1e6) for value in peers), times(ratio)]

    header = (
        "",
        "lmc 64",
        "1",
        "window 64",
        "1",
        "events 64",
        "1",
        "both 64",
        "xgr 64",
        "1",
        "llg 64",
        "1",
        "lmc/xgr 64",
    )
    show("Advance, us per step of 64 rows and of 1", header, map(row, figures.keys))


def masks(figures: Figures) -> None:
    def row(key: str) -> list[str]:
        names = ("mask/median", "mask/mean")
        found = [figures.of(engine, key, name) for engine in ("lmc", "xgrammar", "llguidance") for name in names]
        own = [figures.of("lmc", key, name) for name in ("any_mask/median", "any_first")]
        ratios = [figures.ratio(peer, key, "mask/mean") for peer in ("xgrammar", "llguidance")]
        return [key, *(number(value, 1e6) for value in found[:2] + own + found[2:]), *map(times, ratios)]

    header = ("", "lmc", "mean", "any states", "first", "xgr", "mean", "llg", "mean", "lmc/xgr mean", "lmc/llg mean")
    show("Packed masks of 64 rows, us per step along the samples, and of any 64 states", header, map(row, figures.keys))


def constraining(figures: Figures) -> None:
    def row(key: str) -> list[str]:
        names = ("constrain/median", "any_constrain/median", "any_constrain_first")
        own = [figures.of("lmc", key, name) for name in names]
        peer = figures.of("xgrammar", key, "constrain/median")
        ratio = figures.ratio("xgrammar", key, "constrain/median")
        filled = figures.of("llguidance", key, "mask/median")
        return [key, *(number(value, 1e3) for value in (*own, peer, filled)), times(ratio)]

    header = ("", "lmc", "any states", "first", "xgr fill + apply", "llg fill only", "lmc/xgr")
    show("Constraining 64 rows of fp32 logits, ms per step", header, map(row, figures.keys))


def growth(figures: Figures) -> None:
    def row(bound: str) -> list[str]:
        own = figures.get("lmc", f"growth/{bound}/{TOTAL}")
        states, size = (figures.get("lmc", f"growth/{bound}/{name}") for name in ("states", "bytes"))
        peers = [figures.get(peer, f"growth/{bound}/{TOTAL}") for peer in figures.peers]
        each = divided(own, float(bound))
        found = [number(own, 1e3), number(each, 1e6), number(size, 1e-6), *(number(value, 1e3) for value in peers)]
        return [bound, f"{states:.0f}", *found]

    header = ("N", "states", "lmc ms", "us per N", "MB", *(f"{SHORT[peer]} ms" for peer in figures.peers))
    show("Growth of [^`]{0,N}", header, map(row, figures.found["lmc"].get("growth", ())))


def agreement(figures: Figures) -> None:
    """Print on which patterns the masks along the first sample leave equally many tokens, forced ones (1) aside."""
    print()
    for peer in ("xgrammar", "llguidance"):
        found: dict[bool, str] = {True: "", False: ""}
        for key in figures.keys:
            pairs = figures.of("lmc", key, "choices"), figures.of(peer, key, "choices")
            if None not in pairs:
                found[all(theirs in (ours, 1) for ours, theirs in zip(*pairs, strict=True))] += key
        print(f"masks leave as many tokens as {peer}'s: {found[True] or 'none'}; not so: {found[False] or 'none'}")
