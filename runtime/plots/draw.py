"""Figures: lines with bands, one panel per facet, as SVG and PNG. The same data gives the same SVG."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, ScalarFormatter

from ...spec.plot import LinePlot
from .reduce import Line

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart with any colour vision."""
FEW_POINTS = 30
LABEL = 36
"""Characters of a label that are as long as an axis is high."""
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "lmc",
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "figure.dpi": 160,
    "savefig.dpi": "figure",
}


def draw(spec: LinePlot, lines: list[Line], title: str, folder: Path) -> list[Path]:
    """Draw lines into `figure.svg` and `figure.png` of a folder; return their paths."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        facets = list(dict.fromkeys(line.facet for line in lines)) or [None]
        size = (4.6 if len(facets) == 1 else 3.1 * len(facets) + 0.6, 3.3)
        figure, axes = plt.subplots(1, len(facets), figsize=size, squeeze=False, sharex=True, sharey=True)
        labels = dict.fromkeys(line.label for line in sorted(lines, key=lambda line: line.order))
        colors = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
        for axis, facet in zip(axes[0], facets, strict=True):
            for line in lines:
                if line.facet == facet:
                    _draw_line(axis, line, colors[line.label])
            _dress(axis, spec, facet)
        axes[0][0].set_ylabel(textwrap.fill(", ".join(y.text for y in spec.y), LABEL, break_long_words=False))
        if not lines:
            axes[0][0].text(0.5, 0.5, "no results yet", ha="center", transform=axes[0][0].transAxes, color="#888888")
        if any(colors):
            heading = spec.color.text if spec.color and len(spec.y) == 1 else None
            handles = {handle.get_label(): handle for axis in axes[0] for handle in axis.get_lines()}
            figure.legend([handles[x] for x in labels], labels, title=heading, loc="outside right center")
        figure.suptitle(spec.title or title, fontsize=11)
        _settle(figure)
        paths = [folder / "figure.svg", folder / "figure.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1])
        plt.close(figure)
    return paths


def _settle(figure: Figure) -> None:
    """Lay a figure out around the ticks that it is drawn with: margins decide which fit, and ticks the margins."""
    figure.draw_without_rendering()
    for ticks in (ticks for axis in figure.axes for ticks in (axis.xaxis, axis.yaxis)):
        ticks.set_major_locator(FixedLocator(list(ticks.get_majorticklocs())))
        ticks.set_minor_locator(FixedLocator(list(ticks.get_minorticklocs())))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _draw_line(axis: Axes, line: Line, color: str) -> None:
    marker = "o" if len(line.x) <= FEW_POINTS else ""
    axis.plot(line.x, line.y, color=color, marker=marker, markersize=4, linewidth=1.6, label=line.label)
    if line.low != line.high:
        axis.fill_between(line.x, line.low, line.high, color=color, alpha=0.18, linewidth=0)


def _dress(axis: Axes, spec: LinePlot, facet: Any) -> None:
    axis.set_xlabel(spec.x.text)
    for scale, set_scale, ticks in (
        (spec.scale.x, axis.set_xscale, axis.xaxis),
        (spec.scale.y, axis.set_yscale, axis.yaxis),
    ):
        if scale == "log2":
            set_scale("log", base=2)
            ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        elif scale == "log":
            set_scale("log")
        else:
            ticks.set_major_formatter(ScalarFormatter(useOffset=False))
    if spec.facet is not None:
        axis.set_title(f"{spec.facet.text} = {facet}", fontsize=9)
