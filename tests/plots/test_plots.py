"""Plots: the arrays that are drawn, against results worked out by hand and against a published study."""

import csv
import itertools
import math
import os
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from lmc.runtime.plots.draw import draw
from lmc.runtime.plots.reduce import Line, lines
from lmc.runtime.plots.table import cell, column, columns, show_table, write_csv
from lmc.spec.diagnostic import LmcError
from lmc.spec.expr import Expr
from lmc.spec.plot import Axis, LinePlot, Scale


def name(text: str) -> Expr:
    return Expr(("name", text), text)


def call(function: str, text: str) -> Expr:
    return Expr(("call", function, (("name", text),)), f"{function}({text})")


ROWS = [
    {"seed": seed, "width": width, "lr": lr, "mode": mode, "loss": width * lr + seed + (10 if mode == "b" else 0)}
    for seed, width, lr, mode in itertools.product([0, 1, 2], [1, 2], [0.1, 0.2], ["a", "b"])
]


def test_remaining_axes_are_reduced_within_a_replicate_then_averaged() -> None:
    spec = LinePlot(sources=("g",), x=name("width"), y=(call("min", "loss"),), color=name("mode"))
    found = {line.label: line for line in lines(spec, ROWS)}
    assert list(found) == ["a", "b"]
    for label, extra in (("a", 0), ("b", 10)):
        best = {w: [w * 0.1 + s + extra for s in range(3)] for w in (1, 2)}
        assert found[label].x == (1, 2)
        assert found[label].y == pytest.approx([statistics.fmean(best[w]) for w in (1, 2)])
        spread = statistics.stdev(best[1])
        assert found[label].high[0] - found[label].y[0] == pytest.approx(spread)


def test_the_band_can_be_the_extremes_or_none() -> None:
    spec = LinePlot(sources=("g",), x=name("width"), y=(call("max", "loss"),), band="minmax")
    (line,) = lines(spec, ROWS)
    assert (line.low[0], line.high[0]) == (pytest.approx(10.2), pytest.approx(12.2))
    (line,) = lines(LinePlot(sources=("g",), x=name("width"), y=(call("max", "loss"),), band="none"), ROWS)
    assert line.low == line.y == line.high


def test_filters_facets_and_missing_values() -> None:
    where = Expr(("op", "<", (("name", "loss"), ("value", 5))))
    spec = LinePlot(sources=("g",), x=name("width"), y=(call("mean", "loss"),), facet=name("seed"), where=where)
    found = lines(spec, [*ROWS, {"seed": 9, "width": 1, "mode": "a", "loss": None}])
    assert [line.facet for line in found] == [0, 1, 2]
    assert found[0].y[0] == pytest.approx(0.15)


def test_an_axis_that_is_left_is_an_error() -> None:
    with pytest.raises(LmcError, match="4 values") as caught:
        lines(LinePlot(sources=("g",), x=name("width"), y=(name("loss"),)), ROWS)
    assert caught.value.diagnostic.code == "LM0505"


def test_a_figure_is_drawn_the_same_twice_and_empty_ones_say_so(tmp_path: Path) -> None:
    spec = LinePlot(
        sources=("g",), x=name("width"), y=(call("min", "loss"),), color=name("mode"), scale=Scale(x="log2")
    )
    texts = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        svg, png = draw(spec, lines(spec, ROWS), "title", folder)
        texts.append(svg.read_text())
        assert png.read_bytes().startswith(b"\x89PNG")
    assert texts[0] == texts[1]
    assert "min(loss)" in texts[0]
    svg, _ = draw(spec, [], "title", tmp_path)
    assert "no results yet" in svg.read_text()


CUT = {
    "32": ((4.321, 3.417, 3.009, 2.657, 2.312, 1.914), (4.165, 3.308, 2.83, 2.445, 2.029, 1.647)),
    "64": ((3.335, 2.665, 1.87, 1.232, 0.894, 0.667), (3.502, 2.798, 2.052, 1.335, 0.909, 0.713)),
}
"""Of two replicates: values whose ticks changed with the margins that were made for them."""


@pytest.mark.parametrize("scale", ["linear", "log", "log2"])
@pytest.mark.parametrize("factor", [0.01, 1.0, 3.7, 1000.0])
def test_nothing_of_a_figure_is_cut_off(scale: Axis, factor: float, tmp_path: Path) -> None:
    y = (name("held.bits_per_byte"), name("held_out.bits_per_byte"))
    for measured in (y[:1], y):
        spec = LinePlot(sources=("g",), x=name("step"), y=measured, color=name("width"), scale=Scale(y=scale))
        drawn = []
        for label, replicates in CUT.items():
            found = np.array(replicates) * factor
            band = [tuple(map(float, side)) for side in (found.mean(axis=0), found.min(axis=0), found.max(axis=0))]
            drawn.append(Line(None, label, (label,), tuple(range(20, 140, 20)), *band))
        svg, png = draw(spec, drawn, "curves", tmp_path)
        dark = np.asarray(imread(png))[..., :3].min(axis=-1) < 0.8
        assert not dark[:, :3].any(), "the left edge"
        assert not dark[:, -3:].any(), "the right edge"
        assert not dark[:3].any(), "the top"
        assert not dark[-3:].any(), "the bottom"
        said = "".join(re.sub("<[^>]*>", "", svg.read_text()).split())
        assert ",".join(expr.text for expr in measured) in said


def test_a_point_is_of_all_runs_that_reach_it() -> None:
    ends = {"a": (10, 20, 30, 37), "b": (10, 20, 30, 40, 50, 60), "c": (10, 20, 30, 40, 50, 60), "d": (20, 40, 60)}
    rows = [
        {"run": run, "source": "g", "seed": seed, "step": step, "loss": float(ord(run) + step)}
        for run, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 1))
        for step in ends[run]
    ]
    spec = LinePlot(sources=("g",), x=name("step"), y=(call("mean", "loss"),))
    (line,) = lines(spec, rows)
    a, b, c, d = map(ord, "abcd")
    assert line.x == (20, 40, 60)
    assert line.y == ((a + b + c + d) / 4 + 20, (b + (c + d) / 2) / 2 + 40, (b + (c + d) / 2) / 2 + 60)
    without = [row for row in rows if row["run"] != "d"]
    (line,) = lines(spec, without)
    assert line.x == (10, 20, 30, 40, 50, 60)
    (line,) = lines(spec, [row for row in rows if row["run"] == "a"])
    assert line.x == ends["a"]


def test_tables_show_what_varies_and_csv_holds_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": f"r{i}", "run": "x", "same": 1, "a.b": 1.0, "n": 10_000 * i} for i in range(3)]
    assert columns(rows) == ["name", "a.b", "n"]
    show_table(rows)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["name", "a.b", "n"]
    assert shown[3].split() == ["r2", "1.0", "20,000"]
    assert column([6248, None, 16_592, 0.5, True]) == ["6,248", "-", "16,592", "0.5", "True"]
    assert column([2048, 64]) == ["2048", "64"]
    write_csv(rows, tmp_path / "t.csv")
    with open(tmp_path / "t.csv", encoding="utf-8") as file:
        assert [row["same"] for row in csv.DictReader(file)] == ["1", "1", "1"]
    assert [cell(v) for v in (None, 0.98765, 1234567, "x")] == ["-", "0.9877", "1,234,567", "x"]
    assert [cell(v) for v in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]


PUBLISHED = os.environ.get("LMC_ITL_GRID")
IN_WEIGHT = {8: 6_248, 16: 6_248, 32: 10_908, 64: 10_908, 128: 16_592, 256: 27_166, 512: 37_161, 1024: 45_656}
IN_TOOL = {8: 6_248, 16: 10_908, 128: 23_300, 1024: 28_349, 4096: 23_710, 32_768: 24_176}


@pytest.mark.skipif(PUBLISHED is None, reason="set LMC_ITL_GRID to the published CSV of the in-tool study")
def test_the_capacity_plot_reproduces_the_published_minima() -> None:
    assert PUBLISHED is not None
    with open(PUBLISHED, encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    rows = [
        {
            "data.count": int(r["data.nb_data"]),
            "data.mode": r["data.key"],
            "model.params": int(r["nb_params"]),
            "exact.accuracy": float(r["accuracy_best"]),
            "seed": r["data.seed"],
        }
        for r in table
    ]
    where = Expr(("op", ">=", (("name", "exact.accuracy"), ("value", 0.95))))
    spec = LinePlot(
        sources=("fine",), x=name("data.count"), y=(call("min", "model.params"),), color=name("data.mode"), where=where
    )
    found = {line.label: dict(zip(line.x, line.y, strict=True)) for line in lines(spec, rows)}
    for label, want in (("qa", IN_WEIGHT), ("qatool", IN_TOOL)):
        assert {n: round(found[label][n]) for n in want} == want
