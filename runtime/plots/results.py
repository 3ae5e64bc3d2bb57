"""Results: what the runs of a plan wrote, as rows of columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define

from ...spec.evaluation import LossEval
from ...spec.plan import Plan, Point
from ..inputs import InputDigests
from ..store.files import read_lines
from ..store.run_store import RunStore

Row = dict[str, Any]


@define
class Results:
    """Reads the results of a plan from a run store."""

    plan: Plan
    store: RunStore
    digests: InputDigests

    def final(self, points: list[Point]) -> Iterator[Row]:
        """Yield a row per point: compile-time values, and each metric at the run's last evaluation."""
        summaries = self.store.summaries()
        for point in points:
            row: Row = {"name": point.name, "run": point.run, "grid": point.grid, **point.values}
            trained = summaries.get(self._folder(point.run))
            if trained is not None:
                row |= {"step": trained["step"], "loss.train": trained["loss"], "model.params": trained["params"]}
            for name, node_id in point.evals.items():
                done = summaries.get(self._folder(node_id), {})
                row |= {f"{name}.{metric}": value for metric, value in done.get("metrics", {}).items()}
                spec = self.plan.nodes[node_id].spec
                if isinstance(spec, LossEval) and spec.split == "valid" and done:
                    row["loss.valid"] = done["metrics"]["loss"]
            yield row

    def steps(self, point: Point) -> Iterator[Row]:
        """Yield a row per recorded step of a point, and one per step of each of its evaluations."""
        base: Row = {"name": point.name, "run": point.run, "grid": point.grid, **point.values}
        for record in read_lines(self.store.path / self._folder(point.run) / "records.jsonl"):
            loss = record.pop("loss")
            yield {**base, **record, "loss.train": loss}
        for name, node_id in point.evals.items():
            spec = self.plan.nodes[node_id].spec
            valid = isinstance(spec, LossEval) and spec.split == "valid"
            last = {r["step"]: r for r in read_lines(self.store.path / self._folder(node_id) / "scores.jsonl")}
            for step, record in sorted(last.items()):
                row = {f"{name}.{metric}": value for metric, value in record["metrics"].items()}
                if valid:
                    row["loss.valid"] = record["metrics"]["loss"]
                yield {**base, "step": step, **row}

    def recordings(self, point: Point, probe: str) -> Iterator[Row]:
        """Yield a row per step and site of a probe."""
        base: Row = {"name": point.name, "run": point.run, "grid": point.grid, **point.values}
        lines = read_lines(self.store.path / self._folder(point.probes[probe]) / "recordings.jsonl")
        last = {(line["step"], line["module"]): line for line in lines}
        for (step, module), line in sorted(last.items()):
            yield {**base, "step": step, "module": module, **line["stats"]}

    def _folder(self, node_id: str) -> str:
        return f"{node_id}-{self.digests.of(node_id)}"
