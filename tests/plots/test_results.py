"""What plots read of a store: last and best values, records, sources and filters, against files written by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.components.plotter import PlotNode
from lmc.runtime.inputs import InputDigests
from lmc.runtime.placement import Placement
from lmc.runtime.plots.reduce import Line
from lmc.runtime.session import Session
from lmc.runtime.store.run_store import RunStore

from ..support.planned import plan_of, record

SPEC = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 10, batch = 2 }
train wide : base { model.width = 16 }
eval val : loss { run = base }
eval exact : loss { run = base, split = "train" }
plot drawn : line { PLOT }
"""
LOSSES = {"base": {2: 3.0, 4: 1.0, 6: math.nan, 10: 2.0}, "wide": {2: 5.0, 4: 6.0, 6: 4.5, 10: 4.5}}


def drawn(folder: Path, plot: str, cpu: Placement) -> list[Line]:
    """Return the lines of a plot over two runs that have recorded four evaluations and two records each."""
    plan = plan_of(folder, SPEC.replace("PLOT", plot))
    store, digests = RunStore(folder / "runs"), InputDigests(plan)
    for name, losses in LOSSES.items():
        trained = record(plan, store, name)
        for step in (5, 10):
            trained.append("records.jsonl", {"step": step, "loss": 9.0 - step, "tokens": step * 32, "mfu": step / 100})
        point = next(point for point in plan.points if point.name == name)
        for eval_, node_id in point.evals.items():
            scored = store.open_node(plan.nodes[node_id], digests.of(node_id), name)
            metrics = {step: {"loss": loss, "bits_per_byte": -loss} for step, loss in losses.items()}
            for step, found in metrics.items():
                scored.append("scores.jsonl", {"name": eval_, "step": step, "metrics": found})
            scored.finish({"step": 10, "metrics": metrics[10]})
    node = next(node for node in plan.nodes.values() if node.name == "drawn")
    session = Session(plan, {}, {}, {}, store, digests, cpu, lambda event: None, lambda: False, 0.0)
    return PlotNode(node=node).lines(session)


def points(line: Line) -> dict[Any, float]:
    return dict(zip(line.x, line.y, strict=True))


def test_a_metric_is_its_last_value_and_its_best_where_that_is_asked_for(tmp_path: Path, cpu: Placement) -> None:
    sources = "from = [base, wide], x = model.width"
    last, best, most = drawn(tmp_path, f"{sources}, y = [val.loss, val.best.loss, 0 - val.best.loss]", cpu)
    assert points(last) == {8: 2.0, 16: 4.5}
    assert points(best) == {8: 1.0, 16: 4.5}
    assert points(most) == {8: -1.0, 16: -4.5}


def test_over_steps_the_best_is_that_so_far(tmp_path: Path, cpu: Placement) -> None:
    (line,) = drawn(tmp_path, "from = base, x = step, y = val.best.loss", cpu)
    assert points(line) == {2: 3.0, 4: 1.0, 6: 1.0, 10: 1.0}


def test_columns_of_the_records_have_their_last_value_without_steps(tmp_path: Path, cpu: Placement) -> None:
    (line,) = drawn(tmp_path, "from = wide, x = tokens, y = mfu + val.loss", cpu)
    assert points(line) == {320: pytest.approx(4.6)}


def test_several_sources_are_told_apart_by_name(tmp_path: Path, cpu: Placement) -> None:
    found = drawn(tmp_path, "from = [base, wide], x = step, y = val.loss, color = source, facet = source", cpu)
    assert {line.facet: points(line)[2] for line in found} == {"base": 3.0, "wide": 5.0}


def test_where_filters_runs_by_their_last_values_also_over_steps(tmp_path: Path, cpu: Placement) -> None:
    plot = (
        "from = [base, wide], where = val.loss < 3 and step > 2, x = step, y = [val.loss, loss.train], color = source"
    )
    found = {line.label: points(line) for line in drawn(tmp_path, plot, cpu)}
    assert found == {"val.loss, base": {4: 1.0, 10: 2.0}, "loss.train, base": {5: 4.0, 10: -1.0}}


def test_an_axis_of_blocks_is_a_column_of_what_is_written(tmp_path: Path) -> None:
    grid = "grid g { base = base, over { model.mixer = [attention { heads = 2 }, gated {}] } }\n"
    plan = plan_of(tmp_path, SPEC.replace("PLOT", "from = g, x = step, y = val.loss, color = model.mixer") + grid)
    assert [p.values["model.mixer"] for p in plan.points if p.grid == "g"] == ["attention { heads = 2 }", "gated {}"]


WRONG = {
    "from = base, x = step, y = val.best.los": ("LM0506", "`val` has no metric `los`", "val.best.loss"),
    "from = base, x = step, y = val.best": ("LM0506", "`val` has no metric `best`", ""),
    "from = [base, wide], x = step, y = val.loss": ("LM0505", "`val.loss` still varies over source", "source"),
    "from = base, x = step, y = other.loss": ("LM0506", "`other` evaluates none of the runs of base", "run"),
    "from = base, x = step, y = sorce": (
        "LM0506",
        "no column, evaluation or path of a run is called `sorce`",
        "source",
    ),
}


@pytest.mark.parametrize("plot", WRONG)
def test_what_a_plot_cannot_read_is_told_where_it_is_written(plot: str, tmp_path: Path) -> None:
    other = "data next : book { seed = 2 }\ntrain third { model = small, data = next, steps = 1, batch = 1 }\n"
    text = SPEC.replace("PLOT", plot) + other + "eval other : loss { run = third }\n"
    (tmp_path / "case.lmspec").write_text(text, encoding="utf-8")
    found = [item for item in compile_spec(tmp_path / "case.lmspec").diagnostics.items if item.severity == "error"]
    code, message, help = WRONG[plot]
    assert [(item.code, item.message) for item in found] == [(code, message)]
    assert help in (found[0].help or "")
    assert found[0].span is not None
    assert found[0].span.text in plot, json.dumps(found[0].span.text)
