"""Results: what the runs of a plan wrote, as rows of columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import define

from ...spec.evaluation import SMALLER_IS_BETTER, LossEval
from ...spec.plan import Plan, Point
from ...spec.plot import metric_parts
from ...spec.records import RECORDED
from ...spec.schema import kind_of
from ..inputs import InputDigests
from ..overview.folders import last_lines
from ..store.files import read_lines
from ..store.run_store import RunStore

Row = dict[str, Any]


@define
class Results:
    """Reads the results of a plan from a run store."""

    plan: Plan
    store: RunStore
    digests: InputDigests

    def final(self, points: Iterable[Point], names: Collection[str] = ()) -> Iterator[Row]:
        """Yield a row per point: compile-time values, and each metric at the run's last evaluation.

        Of `names`, columns of the records have their last value, and `EVAL.best.METRIC` its best one.
        """
        summaries = self.store.summaries()
        recorded = [name for name in names if name in RECORDED]
        best = [parts for parts in map(metric_parts, names) if parts.best]
        for point in points:
            row = start(point)
            trained = summaries.get(self._folder(point.run))
            if trained is not None:
                for record in last_lines(self._path(point.run) / "records.jsonl", 1) if recorded else ():
                    row |= {name: record.get(name) for name in recorded}
                row |= {"step": trained["step"], "loss.train": trained["loss"], "model.params": trained["params"]}
            for name, node_id in point.evals.items():
                done = summaries.get(self._folder(node_id), {})
                row |= {f"{name}.{metric}": value for metric, value in done.get("metrics", {}).items()}
                if self._is_valid_loss(node_id) and done:
                    row["loss.valid"] = done["metrics"]["loss"]
                for parts in best if done else ():
                    if parts.eval == name:
                        row[parts.name] = self._best(node_id, parts.metric)
            yield row

    def models(self, nodes: Iterable[str]) -> Iterator[Row]:
        """Yield a row per model with what finished evaluations of it among `nodes` say."""
        rows: dict[str, Row] = {}
        summaries = self.store.summaries()
        for node_id in nodes:
            node = self.plan.nodes[node_id]
            model = self.plan.nodes.get(getattr(node.spec, "run", ""))
            done = summaries.get(self._folder(node_id))
            if kind_of(type(node.spec)) == "eval" and model and kind_of(type(model.spec)) == "model" and done:
                row = rows.setdefault(model.id, {"name": model.name})
                row |= {f"{node.name}.{name}": value for name, value in done["metrics"].items()}
        yield from rows.values()

    def steps(self, point: Point, names: Collection[str] = ()) -> Iterator[Row]:
        """Yield a row per recorded step of a point, and one per step of each of its evaluations.

        `EVAL.best.METRIC` among `names` is the best value so far.
        """
        base = start(point)
        best = [parts for parts in map(metric_parts, names) if parts.best]
        for record in read_lines(self._path(point.run) / "records.jsonl"):
            loss = record.pop("loss")
            yield {**base, **record, "loss.train": loss}
        for name, node_id in point.evals.items():
            seen: dict[str, float] = {}
            for step, metrics in self._scores(node_id).items():
                row = {f"{name}.{metric}": value for metric, value in metrics.items()}
                if self._is_valid_loss(node_id):
                    row["loss.valid"] = metrics["loss"]
                for parts in best:
                    if parts.eval == name and parts.metric in metrics:
                        values = [metrics[parts.metric], *([seen[parts.name]] if parts.name in seen else [])]
                        row[parts.name] = seen[parts.name] = best_of(parts.metric, values)
                yield {**base, "step": step, **row}

    def recordings(self, point: Point, probe: str) -> Iterator[Row]:
        """Yield a row per step and site of a probe."""
        lines = read_lines(self._path(point.probes[probe]) / "recordings.jsonl")
        last = {(line["step"], line["module"]): line for line in lines}
        for (step, module), line in sorted(last.items()):
            yield {**start(point), "source": probe, "step": step, "module": module, **line["stats"]}

    def _best(self, node_id: str, metric: str) -> float | None:
        values = [metrics[metric] for metrics in self._scores(node_id).values() if metric in metrics]
        return best_of(metric, values) if values else None

    def _scores(self, node_id: str) -> dict[int, dict[str, float]]:
        """Return the metrics of each step at which an evaluation was made, in order."""
        lines = read_lines(self._path(node_id) / "scores.jsonl")
        return dict(sorted({line["step"]: line["metrics"] for line in lines}.items()))

    def _is_valid_loss(self, node_id: str) -> bool:
        spec = self.plan.nodes[node_id].spec
        return isinstance(spec, LossEval) and spec.split == "valid"

    def _path(self, node_id: str) -> Path:
        return self.store.path / self._folder(node_id)

    def _folder(self, node_id: str) -> str:
        return f"{node_id}-{self.digests.of(node_id)}"


def start(point: Point) -> Row:
    """Return what is known of a run before it is begun."""
    return {"name": point.name, "run": point.run, "grid": point.grid, "source": point.grid, **point.values}


def best_of(metric: str, values: list[float]) -> float:
    """Return the best of the values of a metric; one that is no number is the worst."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return min(known) if metric in SMALLER_IS_BETTER else max(known)
