"""Plots over the results of runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.plot import LinePlot
from ..plots.reduce import lines
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

        drawn = lines(self.spec, self.rows(session))
        paths = draw(self.spec, drawn, self.node.name, folder.path)
        if self.spec.file is not None:
            target = Path(self.spec.file)
            target.parent.mkdir(parents=True, exist_ok=True)
            for path in paths:
                if target.suffix in ("", path.suffix):
                    shutil.copyfile(path, target.with_suffix(path.suffix))
        return {"figures": [path.name for path in paths], "lines": len(drawn)}

    def rows(self, session: Session) -> Iterator[Row]:
        """Yield the rows that the plot reads: per step if it draws steps, else one a run."""
        results = Results(session.plan, session.store, session.digests)
        points = [point for point in session.plan.points if point.grid in self.spec.sources]
        for point in session.plan.points:
            for name in point.probes:
                if name in self.spec.sources:
                    yield from results.recordings(point, name)
        if "step" in self.spec.x.names():
            for point in points:
                yield from results.steps(point)
        else:
            yield from results.final(points)

    def build(self, session: Session) -> list[Path]:
        """Return the paths of the figures."""
        folder = session.folder(self.node.id)
        return [folder.path / name for name in folder.summary["figures"]]
