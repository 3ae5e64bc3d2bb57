"""Finished runs of a store by name, loaded from the part of the plan that the run kept."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan
from ..spec.plan_text import parse_plan
from .components.trainer import TrainerNode
from .graph import wire
from .inputs import InputDigests
from .placement import default_placement
from .session import Session
from .store.index import Entry
from .store.named import ambiguous, find, trainings
from .store.run_store import RunStore

GRAPH = "graph.jsonl"
SHOWN = 10
"""Most names of runs in a message."""


@frozen
class FinishedRun:
    """A training, its folder in the store, and a session that gives its products."""

    session: Session
    run: TrainerNode
    folder: Path


def open_run(store: Path, name: str, device: str | None) -> FinishedRun:
    """Return a run as `find` means it, placed on `device`. Raises LmcError (LM0809) for an unknown or ambiguous one."""
    folder, plan = kept_plan(store, name)
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


def kept_plan(store: Path, name: str) -> tuple[Path, Plan]:
    """Return the folder of a run and the part of its plan that it keeps. Raises LmcError (LM0809)."""
    folder = _find(RunStore(store), name)
    return folder, parse_plan((folder / GRAPH).read_text(encoding="utf-8").splitlines(), str(folder / GRAPH))


def _find(store: RunStore, name: str) -> Path:
    if not store.path.is_dir():
        help = "name another with --store; `lmc run` makes one where it is started"
        raise LmcError(Diagnostic("LM0809", f"there is no run store `{store.path}`", None, help=help))
    found = [entry for entry in find(store, name) if _kept(store, entry)]
    if len(found) == 1:
        return store.path / found[0].folder
    if found:
        raise ambiguous(store, name, found)
    message = f"no finished run is called `{name}` in `{store.path}`"
    raise LmcError(Diagnostic("LM0809", message, None, help=_nearest(name, _finished(store))))


def _finished(store: RunStore) -> set[str]:
    """Return the names of the runs of a store that can be loaded."""
    return {entry.name for entry in trainings(store) if entry.status == "done" and _kept(store, entry)}


def _kept(store: RunStore, entry: Entry) -> bool:
    return (store.path / entry.folder / GRAPH).is_file()


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return what the runs are called, those that are spelled most alike first."""
    ranked = sorted(names, key=lambda known: (-difflib.SequenceMatcher(None, name, known).ratio(), known))
    if not ranked:
        return "it has none; `lmc run` makes them"
    near = difflib.get_close_matches(name, ranked, 1)
    more = f" and {len(ranked) - SHOWN:,} more" if len(ranked) > SHOWN else ""
    return (f"did you mean `{near[0]}`? " if near else "") + f"runs are {', '.join(ranked[:SHOWN])}{more}"
