"""Plots over the results of runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from ...spec.plot import LinePlot, plot_names
from ..plots.copies import put_copies
from ..plots.reduce import Line, kept, lines
from ..plots.results import Results, Row
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from .base import Component, StoredComponent


@builds(LinePlot)
@frozen(kw_only=True)
class PlotNode(StoredComponent[list[Path]]):
    """A figure of finished runs."""

    read: tuple[Component[Any], ...] = ()

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Draw the figure, and copy it to the file that the spec names."""
        from ..plots.draw import draw

        drawn = self.lines(session)
        paths = draw(self.spec, drawn, self.node.name, folder.path)
        put_copies(self.spec.file, paths)
        return {"figures": [path.name for path in paths], "lines": len(drawn)}

    def lines(self, session: Session) -> list[Line]:
        """Return what is drawn of the runs in the store. Raises LmcError as `lines` of reduce does."""
        return lines(evolve(self.spec, where=None), self.rows(session))

    def rows(self, session: Session) -> Iterator[Row]:
        """Yield the rows that `where` keeps of what the plot reads: per step if it draws steps, else one a run."""
        results, names = Results(session.plan, session.store, session.digests), plot_names(self.spec)
        over_steps = any("step" in expr.names() for expr in self.spec.grouped())
        points = [point for point in session.plan.points if {point.grid, *point.probes} & set(self.spec.sources)]
        for point, end in zip(points, results.final(points, names), strict=True):
            for probe in self.spec.sources:
                if probe in point.probes:
                    yield from (row for row in results.recordings(point, probe) if kept(self.spec, {**end, **row}))
            if point.grid not in self.spec.sources:
                continue
            if over_steps:
                rows = results.steps(point, names)
                yield from (row for row in rows if kept(self.spec, {**row, **end, "step": row["step"]}))
            elif kept(self.spec, end):
                yield end

    def build(self, session: Session) -> list[Path]:
        """Return the paths of the figures."""
        folder = session.folder(self.node.id)
        return [folder.path / name for name in folder.summary["figures"]]
