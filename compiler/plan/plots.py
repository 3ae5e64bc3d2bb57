"""Plots in a plan: what they read, and whether what they draw is one value per point."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from attrs import evolve

from ...spec.diagnostic import Edit
from ...spec.evaluation import AnswersEval, GenerateEval, LossEval, PerTokenEval
from ...spec.identity import identity
from ...spec.plan import Node, Point, Target
from ...spec.plot import HeatmapPlot, LinePlot, metric_parts, plot_names
from ...spec.records import RECORDED
from ...spec.schema import fields
from ...spec.span import Span
from ...spec.train import Train
from ..resolve.cells import Cell
from ..resolve.declare import Decl
from ..resolve.problems import Problem, problem, unknown
from ..resolve.world import Program
from .ahead import lacks
from .places import place_of

if TYPE_CHECKING:
    from .build import PlanBuilder

STATISTICS = ("mean", "rms", "absmax", "entropy", "norm", "noise_scale")
KEPT = ("layer", "head", "position")
RECORD_COLUMNS = {*RECORDED, *STATISTICS, *KEPT, "loss.train", "loss.valid", "module", "run", "source"}
METRICS = {
    LossEval: ("loss", "bits_per_byte"),
    AnswersEval: ("accuracy", "follows", "calls"),
    GenerateEval: ("tokens",),
    PerTokenEval: ("accuracy",),
}
AGGREGATES = ("min", "max", "mean")


def misread(error: Problem, of: Span, name: str, span: Span) -> Problem:
    """Return the problem of a name in a plot that a run lacks, told at `span` in the plot and not at the run, `of`."""
    told = error.diagnostic
    if told is None or told.span != of:
        return error
    if told.code != "LM0207" or "." in name:
        return Problem(evolve(told, span=span, label=""), error.more)
    near = difflib.get_close_matches(name, [*RECORD_COLUMNS, *fields(Train)], 1)
    help = (
        f"did you mean `{near[0]}`?" if near else "columns are step, loss.train, loss.valid, EVAL.METRIC, paths of runs"
    )
    return problem("LM0506", span, f"no column, evaluation or path of a run is called `{name}`", help=help)


def plan_plot(builder: PlanBuilder, decl: Decl) -> None:
    """Add the node and the target of a plot. Raises Problem: LM0311, LM0505, LM0506."""
    cell = builder.null.instance(decl)
    spec: LinePlot | HeatmapPlot = builder.null.spec(cell)
    points = [point for point in builder.points if point.grid in spec.sources]
    probes = [node for point in builder.points for name, node in point.probes.items() if name in spec.sources]
    _check_names(builder, decl, cell, spec, bool(probes))
    _check_evaluated(builder, cell, spec, points)
    inputs = dict.fromkeys(probes)
    names = [(name, name.split(".")[0]) for name in plot_names(spec)]
    for point in points:
        inputs[point.run] = None
        for name, head in names:
            if name == "loss.valid":
                inputs.update(dict.fromkeys(n for n in point.evals.values() if _is_valid_loss(builder.nodes[n].spec)))
            elif head in point.evals:
                inputs[point.evals[head]] = None
    spec = evolve(spec, read=tuple(inputs))
    node_id, place = identity(spec), place_of(decl.name_span)
    builder.nodes[node_id] = Node(node_id, spec, decl.name, place, lacks(cell, spec))
    targets = {target.name: target for target in builder.targets}
    default = all(targets[name].default for name in spec.sources if name in targets)
    builder.targets.append(Target(decl.name, "plot", (node_id,), default))


def _check_names(builder: PlanBuilder, decl: Decl, cell: Cell, spec: LinePlot | HeatmapPlot, of_probes: bool) -> None:
    recorded = _recorded(builder, spec)
    for name in plot_names(spec):
        if recorded is not None and name not in recorded and not _of_run(builder, name):
            near = difflib.get_close_matches(name, recorded, 1)
            help = f"did you mean `{near[0]}`?" if near else f"columns are {', '.join(recorded)}"
            raise problem("LM0506", span_of(cell, name), f"the probe records no `{name}`", help=help)
        for source in spec.sources:
            if (source, name) in builder.misread:
                raise builder.misread[source, name]
            if (source, name) in builder.unknown:
                raise unknown(span_of(cell, name), name, builder.unknown[source, name])
        eval_ = builder.program.main.names.get(name.split(".")[0])
        if isinstance(eval_, Decl) and eval_.kind == "eval" and not eval_.poisoned:
            _check_metric(builder, cell, eval_, name)
    if not of_probes:
        _check_aggregates(builder, cell, spec)


def _check_evaluated(builder: PlanBuilder, cell: Cell, spec: LinePlot | HeatmapPlot, points: list[Point]) -> None:
    """Raise Problem (LM0506) if a plot reads an evaluation of other runs than it draws."""
    for name in plot_names(spec):
        head = name.split(".")[0]
        found = builder.program.main.names.get(head)
        evaluation = isinstance(found, Decl) and found.kind == "eval" and not found.poisoned
        told = builder.program.diagnostics.failed  # the evaluation may be of no run for what was told
        if evaluation and points and not told and not any(head in point.evals for point in points):
            message = f"`{head}` evaluates none of the runs of {', '.join(spec.sources)}"
            help = f"set `run` of `{head}` to what they start from"
            raise problem("LM0506", span_of(cell, name), message, help=help)


def _check_metric(builder: PlanBuilder, cell: Cell, eval_: Decl, name: str) -> None:
    """Raise Problem (LM0506) if a name in a plot is no metric of its evaluation."""
    head, metric = (parts := metric_parts(name)).eval, parts.metric
    known = metrics_of(builder, builder.null.instance(eval_).cls)
    if metric in known:
        return
    near = difflib.get_close_matches(metric, known, 1)
    meant = f"{head}{'.best' if parts.best else ''}.{near[0]}" if near else ""
    help = f"did you mean `{meant}`?" if near else f"it has {', '.join(known)}"
    span = metric_span(span_of(cell, name), metric)
    edits = (Edit(span, near[0]),) if near and span.text == metric else ()
    raise problem("LM0506", span, f"`{head}` has no metric `{metric}`", help=help, edits=edits)


def metric_span(span: Span, metric: str) -> Span:
    """Return the place of a metric in that of its full name; the whole of what is no such name."""
    return evolve(span, start=span.end - len(metric)) if metric and span.text.endswith(f".{metric}") else span


def _recorded(builder: PlanBuilder, spec: LinePlot | HeatmapPlot) -> list[str] | None:
    """Return the columns of the probes that a plot is of; None if it is of something else as well."""
    columns = ["step", "module", "run", "source"]
    for name in spec.sources:
        decl = builder.program.main.names.get(name)
        if not isinstance(decl, Decl) or decl.kind != "probe":
            return None
        cell = builder.null.instance(decl)
        for field in ("reduce", "keep", "measure"):
            if field in fields(cell.cls):
                columns += builder.null.evaluator.value(cell, field)
    return list(dict.fromkeys(columns))


def _of_run(builder: PlanBuilder, name: str) -> bool:
    """Whether a name may be a path into a run, or a free axis of its grid."""
    free = {axis.path for grid in builder.grids.values() for axis in grid.axes if axis.free}
    return name in free or name.split(".")[0] in fields(Train)


def metrics_of(builder: PlanBuilder, cls: Any) -> tuple[str, ...]:
    """Return the metrics of an evaluation; answers through several protocols tell the calls of each."""
    protocols = [decl.name for module in builder.program.modules for decl in module.decls if decl.kind == "protocol"]
    told = protocols if cls is AnswersEval and len(protocols) > 1 else []
    return (*METRICS[cls], *(f"calls.{name}" for name in told))


def _check_aggregates(builder: PlanBuilder, cell: Cell, spec: LinePlot | HeatmapPlot) -> None:
    """Raise Problem (LM0505) if two runs of a replicate meet at one point of a line."""
    plain_y = [y for y in spec.measured() if not (y.tree[0] == "call" and y.tree[1] in AGGREGATES)]
    exprs = [expr for expr in spec.grouped() if "step" not in expr.names()]
    filters = [] if spec.where is None else list(spec.where.names())
    read = {*filters, *(name for expr in exprs for name in expr.names())} - {"source"}
    if not plain_y or any(is_column(builder.program, name) for name in read):
        return
    seen: dict[tuple[Any, ...], Point] = {}
    for point in builder.points:
        lookup = {**point.values, "source": point.grid}.__getitem__
        if point.grid not in spec.sources or (spec.where is not None and not spec.where.evaluate(lookup)):
            continue
        key = (point.values.get("seed"), *(expr.evaluate(lookup) for expr in exprs))
        other = seen.setdefault(key, point)
        if other.run != point.run:
            left = [axis for axis in point.axes if point.axes[axis] != other.axes.get(axis)]
            left = left if other.grid == point.grid else ["source"]
            message = f"`{plain_y[0].text}` still varies over {', '.join(left)}"
            help = f"reduce it, for example mean({plain_y[0].text}), or use {left[0]} as color or facet"
            raise problem("LM0505", span_of(cell, plain_y[0].text), message, help=help)


def is_column(program: Program, name: str) -> bool:
    """Whether a name in a plot is a column of results rather than a path into the run."""
    head, _, metric = name.partition(".")
    if name in RECORD_COLUMNS:
        return True
    decl = program.main.names.get(head)
    return isinstance(decl, Decl) and decl.kind == "eval" and bool(metric)


def _is_valid_loss(spec: Any) -> bool:
    return isinstance(spec, LossEval) and spec.split == "valid"


def span_of(cell: Cell, text: str) -> Span:
    """Return where a plot says something: the first field whose text holds it."""
    for settings in cell.fields.values():
        span = settings[-1].expr.span
        found = re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", span.text)
        if found is not None:
            return Span(span.source, span.start + found.start(), span.start + found.end())
    return cell.span
