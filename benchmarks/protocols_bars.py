"""The bars of bench_protocols.py: what lmc has to reach on one vocabulary, and what it reaches.

Growth that is linear is read as growth with at most the power 1.2 of the bound.
"""

import math

from attrs import frozen
from protocols_report import TOTAL, Figures, Worst, divided, largest, number


@frozen
class Bar:
    """A figure and the most it may be; `where` is the pattern it comes from."""

    text: str
    found: Worst | None
    limit: float | None
    unit: str = "x"

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        if self.limit is None:
            return ""
        return "ok" if self.found[0] <= self.limit else "missed"

    def line(self) -> list[str]:
        value = "-" if self.found is None else f"{number(self.found[0])} {self.unit}"
        where = self.found[1] if self.found else ""
        return [self.text, value, where, "-" if self.limit is None else f"{self.limit:g} {self.unit}", self.verdict]


def bars(figures: Figures) -> list[Bar]:
    """Return every bar on one vocabulary."""
    small = figures.vocabulary == "cl100k"
    return [
        *preparation_bars(figures, small),
        *compilation_bars(figures, small),
        *growth_bars(figures),
        Bar("largest table", scaled(figures.worst(figures.keys, "bytes"), 1e-6), 1.5 if small else 2.5, "MB"),
        *step_bars(figures, small),
    ]


def scaled(found: Worst | None, scale: float) -> Worst | None:
    return None if found is None else (found[0] * scale, found[1])


def plain(value: float | None) -> Worst | None:
    return None if value is None else (value, "")


def preparation_bars(figures: Figures, small: bool) -> list[Bar]:
    own = figures.get("lmc", "prepare/median")
    to = {peer: plain(divided(own, figures.get(peer, "prepare/median"))) for peer in figures.peers}
    return [
        Bar("vocabulary preparation", plain(own), 0.06 if small else 0.13, "s"),
        Bar("vocabulary preparation to xgrammar's", to.get("xgrammar"), 1),
        Bar("vocabulary preparation to llguidance's", to.get("llguidance"), 0.25),
    ]


def compilation_bars(figures: Figures, small: bool) -> list[Bar]:
    larger = {"e": 40.0, "f": 100.0, "g": 60.0, "h": 60.0}
    slower = [key for key in figures.keys if (figures.ratio("xgrammar", key, TOTAL) or 0) > 1]
    few = [key for key in "abcdm" if key in figures.keys]
    return [
        Bar("compilation, slowest of a b c d m", scaled(figures.worst(few, TOTAL), 1e3), 20 if small else 35, "ms"),
        *(
            Bar(f"compilation of {key}", scaled(figures.worst(key, TOTAL), 1e3), limit if small else 1.6 * limit, "ms")
            for key, limit in larger.items()
        ),
        Bar("compilation to outlines-core's, worst", figures.worst_ratio("outlines_core", figures.keys, TOTAL), 0.4),
        Bar("compilation to outlines-core's, geometric mean", figures.mean_ratio("outlines_core", TOTAL), 0.1),
        Bar("compilation to xgrammar's, geometric mean", figures.mean_ratio("xgrammar", TOTAL), 1),
        Bar("compilation to xgrammar's, worst of e f", figures.worst_ratio("xgrammar", "ef", TOTAL), 0.1),
        Bar("compilation where slower than xgrammar", scaled(figures.worst(slower, TOTAL), 1e3), 60, "ms"),
        Bar("compilation to llguidance's, worst", figures.worst_ratio("llguidance", figures.keys, TOTAL), 40),
        *(
            Bar(f"with the first 10 masks of 64 rows, to llguidance's: {key}", plain(ratio), 0.5)
            for key in "acefhm"
            for ratio in [figures.ratio("llguidance", key, "start/median")]
        ),
    ]


def growth_bars(figures: Figures) -> list[Bar]:
    found = figures.found["lmc"].get("growth")
    if not found:
        return []
    last = max(found, key=int)
    time, size = (figures.get("lmc", f"growth/{last}/{name}") for name in (TOTAL, "bytes"))
    return [
        Bar("growth of time, exponent from N 100", plain(exponent(figures, TOTAL)), 1.2, ""),
        Bar("growth of bytes, exponent from N 100", plain(exponent(figures, "bytes")), 1.2, ""),
        Bar(f"compilation of [^`]{{0,{last}}}", plain(time), 0.6, "s"),
        Bar(f"table of [^`]{{0,{last}}}", scaled(plain(size), 1e-6), 3, "MB"),
    ]


def exponent(figures: Figures, path: str) -> float | None:
    """Return the power of N that a figure grows with, from N = 100 to the largest."""
    last = max(figures.found["lmc"]["growth"], key=int)
    ratio = divided(figures.get("lmc", f"growth/{last}/{path}"), figures.get("lmc", f"growth/100/{path}"))
    return None if ratio is None else math.log(ratio) / math.log(int(last) / 100)


def step_bars(figures: Figures, small: bool) -> list[Bar]:
    def slowest(path: str) -> Worst | None:
        return scaled(figures.worst(figures.keys, f"{path}/median"), 1e6)

    apart = largest(
        (divided(figures.of("lmc", key, "advance_64/median"), figures.of("lmc", key, "advance_1/median")), key)
        for key in figures.keys
    )
    any_mask = "any_mask/median"
    most, least = figures.worst(figures.keys, any_mask), min(figures.of("lmc", key, any_mask) for key in figures.keys)
    to_xgrammar = figures.worst_ratio("xgrammar", figures.keys, "advance_64/median")
    long = divided(figures.get("lmc", "long/last"), figures.get("lmc", "long/first"))
    return [
        Bar("advance of 64 rows", slowest("advance_64"), 15, "us"),
        Bar("advance of 64 rows, events at every step", slowest("events_64"), 15, "us"),
        Bar("advance of 64 rows, a window of 32", slowest("window_64"), None, "us"),
        Bar("advance of 64 rows, both", slowest("events_window_64"), None, "us"),
        Bar("advance of 64 rows to xgrammar's, worst", to_xgrammar, 0.25),
        Bar("advance of 64 rows to 1 row, worst", apart, 2),
        Bar("packed masks of any 64 states", scaled(most, 1e3), 0.4 if small else None, "ms"),
        Bar("packed masks, worst pattern to best", most and (most[0] / least, most[1]), 2),
        Bar("cost of a step, last thousand of 100,000 to first", plain(long), 1.1),
    ]


def show_bars(figures: Figures) -> None:
    header = ("", "measured", "of", "limit", "")
    lines = [header, *(bar.line() for bar in bars(figures))]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    print(f"\nBars, {figures.vocabulary}")
    for text, *cells in lines:
        print(
            "  ".join([text.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]).rstrip()
        )
