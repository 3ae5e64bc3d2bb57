"""Plots over results."""

from __future__ import annotations

import re
from typing import Any, Literal

from attrs import frozen

from .evaluation import Checkpoint, checkpoint_option
from .expr import Expr
from .schema import allows, option, variant

FIGURE = re.compile(r"^(.*/)?([^/.]+|[^/]+\.(png|svg))$")
"""Names of files that figures are written as."""
Axis = Literal["linear", "log", "log2"]


@allows(pattern=FIGURE.pattern)
def _figure(instance: Any, attribute: Any, value: str | None) -> None:
    """A name that ends in .png or .svg, or without a suffix."""
    if value is not None and FIGURE.fullmatch(value) is None:
        raise ValueError("'file' must be a name that ends in .png or .svg, or without a suffix")


def file_option() -> Any:
    """Return the field that says where a copy of the figure goes."""
    text = "Where a copy goes, relative to the working directory: .svg or .png; without a suffix, both."
    return option(text, default=None, identity=False, validator=_figure)


@variant("scale")
@frozen(kw_only=True, repr=False)
class Scale:
    """Scales of the axes."""

    x: Axis = option("Horizontal.", default="linear")
    y: Axis = option("Vertical.", default="linear")


@variant("plot", "line")
@frozen(kw_only=True, repr=False)
class LinePlot:
    """Lines over runs or over steps, with a band over replicates; SVG and PNG.

    Names in expressions are record columns (`step`, `loss.train`, `loss.valid`, `source`), metrics of attached
    evaluations (`exact.accuracy`, at its best `exact.best.accuracy`), then paths into the run (`model.params`).
    """

    sources: tuple[str, ...] = option(
        "Trains, grids or probes whose results are drawn.",
        many=True,
        ref="source",
        identity=False,
    )
    x: Expr = option("Horizontal value.")
    y: tuple[Expr, ...] = option(
        "Vertical values; a one-argument min, max or mean reduces what x, color and facet leave.",
        many=True,
    )
    color: Expr | None = option("One line per value.", default=None)
    facet: Expr | None = option("One panel per value.", default=None)
    where: Expr | None = option("Which runs.", default=None)
    band: Literal["std", "minmax", "none"] = option("Band over replicates.", default="std")
    scale: Scale = option("Scales of the axes.", default=Scale())
    title: str = option("Heading.", default="")
    file: str | None = file_option()
    checkpoint: Checkpoint = checkpoint_option()
    read: tuple[str, ...] = option("The nodes that are read.", ref="node", hidden=True, default=())

    def measured(self) -> tuple[Expr, ...]:
        """Return the values that are drawn."""
        return self.y

    def grouped(self) -> tuple[Expr, ...]:
        """Return what tells drawn values apart."""
        return tuple(expr for expr in (self.x, self.color, self.facet) if expr is not None)


@variant("plot", "heatmap", runs=False)
@frozen(kw_only=True, repr=False)
class HeatmapPlot:
    """A colour for every pair of x and y; SVG and PNG."""

    sources: tuple[str, ...] = option(
        "Trains, grids or probes whose results are drawn.", many=True, ref="source", identity=False
    )
    x: Expr = option("Horizontal value.")
    y: Expr = option("Vertical value.")
    value: Expr = option("What the colour is; a one-argument min, max or mean reduces what x, y and facet leave.")
    facet: Expr | None = option("One panel per value.", default=None)
    where: Expr | None = option("Which runs.", default=None)
    title: str = option("Heading.", default="")
    file: str | None = file_option()
    checkpoint: Checkpoint = checkpoint_option()
    read: tuple[str, ...] = option("The nodes that are read.", ref="node", hidden=True, default=())

    def measured(self) -> tuple[Expr, ...]:
        """Return the values that are drawn."""
        return (self.value,)

    def grouped(self) -> tuple[Expr, ...]:
        """Return what tells drawn values apart."""
        return tuple(expr for expr in (self.x, self.y, self.facet) if expr is not None)


@frozen
class MetricName:
    """A name in a plot that means a metric: of an evaluation, at its last value or at its best.

    Attributes:
        name: as written, `exact.accuracy` or `exact.best.accuracy`.
    """

    name: str
    eval: str
    metric: str
    best: bool


def metric_parts(name: str) -> MetricName:
    """Return what a dotted name says if its first part is an evaluation."""
    head, _, metric = name.partition(".")
    return MetricName(name, head, metric.removeprefix("best."), metric.startswith("best."))


def plot_names(spec: LinePlot | HeatmapPlot) -> list[str]:
    """Return the names that a plot reads."""
    exprs = [*spec.grouped(), *spec.measured(), spec.where]
    return list(dict.fromkeys(name for expr in exprs if expr is not None for name in expr.names()))
