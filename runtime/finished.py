"""Finished runs of a store by name, loaded from the part of the plan that the run kept."""

from __future__ import annotations

import time
from pathlib import Path

from attrs import frozen

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan_text import parse_plan
from .components.trainer import TrainerNode
from .graph import wire
from .inputs import InputDigests
from .placement import default_placement
from .session import Session
from .store.run_store import RunStore


@frozen
class FinishedRun:
    """A training, its folder in the store, and a session that gives its products."""

    session: Session
    run: TrainerNode
    folder: Path


def open_run(store: Path, name: str, device: str | None) -> FinishedRun:
    """Return a run by name or id, placed on `device`. Raises LmcError (LM0809) for an unknown or ambiguous one."""
    folder = _find(RunStore(store), name)
    plan = parse_plan((folder / "graph.jsonl").read_text(encoding="utf-8").splitlines(), str(folder / "graph.jsonl"))
    components = wire(plan)
    session = Session(
        plan=plan,
        components=components,
        names={},
        observers={},
        store=RunStore(store),
        digests=InputDigests(plan),
        placement=default_placement(device),
        emit=lambda event: None,
        stop=lambda: False,
        started=time.time(),
    )
    run = components[folder.name.split("-")[0]]
    assert isinstance(run, TrainerNode)
    return FinishedRun(session, run, folder)


def _find(store: RunStore, name: str) -> Path:
    found = [path for path in store.find(name) if (path / "graph.jsonl").is_file()]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs are called" if found else "no finished run is called"
    ids = ", ".join(path.name.split("-")[0] for path in found)
    help = f"name one by its id: {ids}" if found else "`lmc run` prints the names"
    raise LmcError(Diagnostic("LM0809", f"{what} `{name}` in `{store.path}`", None, help=help))
