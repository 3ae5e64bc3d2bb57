"""Trainings shown elsewhere: what a session's run tells its tracker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...spec.schema import kind_of
from ...spec.train import Train
from ..registry import BUILDERS
from ..session import Session
from ..tracking import writers as _writers  # noqa: F401  (registers its builders)
from ..tracking.sources import Tail, settings_of
from ..tracking.tracker import Tracker, untracked
from ..tracking.writers import Shown
from ..training.job import PROFILE, RECORDS
from .base import Component


def tracker_of(session: Session, run: Component[Any], observers: Iterable[str], step: int) -> Tracker:
    """Return the tracker of a training that begins behind a step: its records, profile and evaluations."""
    folder = session.folder(run.node.id).path
    evals = [i for i in observers if kind_of(type(session.components[i].spec)) == "eval"]
    scores = [Tail(session.components[i].node.name, session.folder(i).path / "scores.jsonl") for i in evals]
    return _tracker(session, run, [Tail("train", folder / RECORDS), Tail("profile", folder / PROFILE), *scores], step)


def show_scores(session: Session, run: Component[Any], name: str, step: int, path: Path) -> None:
    """Add the scores of an evaluation that was made at a step, after the training was over."""
    tail = Tail(name, path)
    tail.upto(step - 1)
    tracker = _tracker(session, run, [tail], None)
    tracker.upto(step)
    tracker.close()


def _tracker(session: Session, run: Component[Any], tails: list[Tail], step: int | None) -> Tracker:
    spec: Train = run.spec
    if spec.track is None:
        return untracked(step or 0)
    shown = Shown(
        folder=session.folder(run.node.id).path,
        name=session.names.get(run.node.id) or run.node.name,
        settings=settings_of(session.plan.nodes, run.node.id),
        step=step,
    )
    return Tracker(
        tails,
        lambda: BUILDERS[type(spec.track)](spec.track, shown),
        lambda text: session.say("note", run.node.id, text=text),
    )
