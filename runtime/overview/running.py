"""How far the runs of a store are: what goes on, is done, failed or stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, frozen

from ..store.index import NODE, Entry, read_node
from ..store.run_store import RunStore
from .folders import held, last_checkpoint, last_lines

State = Literal["running", "done", "failed", "stopped"]
RECORDS = 20
"""Most records over which a rate is taken."""


@frozen
class RunProgress:
    """A training of a store.

    Attributes:
        run: its id. block: the grid or train that it was run from.
        step: of the last record, or of the last checkpoint where nothing runs. steps: all; None where not counted.
        metrics: the last of each, `loss` of the training, `EVAL.METRIC` of evaluations.
        steps_per_second, tokens_per_second, seconds_left: of a run that goes on, None before it has two records.
        failure: code and message of one that failed. holder: the process of one that goes on.
        time: wall time of the last sign of it.
    """

    run: str
    name: str
    block: str
    folder: str
    state: State
    step: int
    steps: int | None
    metrics: dict[str, float] = Factory(dict)
    steps_per_second: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    failure: str = ""
    holder: str = ""
    time: float = 0.0


def progress(store: RunStore) -> list[RunProgress]:
    """Return the trainings of a store, in the order in which they last changed.

    Of those that are done the index tells all; the others are asked in their folders.
    """
    entries = store.entries().values()
    evals = _evaluations(store, entries)
    found = [_progress(store, entry, evals.get(entry.folder, {})) for entry in entries if entry.kind == "train"]
    return sorted(found, key=lambda run: run.time)


def others_running(store: RunStore) -> list[tuple[str, str]]:
    """Return kind and name of what else is being done: evaluations, plots, databases."""
    entries = [e for e in store.entries().values() if e.kind != "train" and e.status != "done"]
    return [(entry.kind, entry.name) for entry in entries if held(store.path / entry.folder)]


def _evaluations(store: RunStore, entries: Iterable[Entry]) -> dict[str, dict[str, Entry]]:
    """Return the evaluations of each training by its folder, then by name; of two of a name, the newest."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == "train":
            runs.setdefault(entry.id, []).append(entry)
    found: dict[str, dict[str, Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.time):
        looked_at = _looked_at(store, entry, runs.get(entry.run, [])) if entry.kind == "eval" else None
        if looked_at is not None:
            found.setdefault(looked_at.folder, {})[entry.name.rpartition(" ")[2]] = entry
    return found


def _looked_at(store: RunStore, evaluation: Entry, runs: list[Entry]) -> Entry | None:
    """Return the training that an evaluation is of, among those of its id: the one whose inputs are its own, too."""
    if len(runs) < 2:
        return runs[0] if runs else None
    own = _inputs(store, evaluation)
    return max((r for r in runs if _inputs(store, r) <= own), key=lambda r: len(_inputs(store, r)), default=None)


def _inputs(store: RunStore, entry: Entry) -> set[str]:
    """Return the digests of what a node, or what its identity covers, reads."""
    return set(read_node(store.path / entry.folder / NODE).get("made", {}).get("inputs", {}).values())


def _progress(store: RunStore, entry: Entry, evals: dict[str, Entry]) -> RunProgress:
    metrics = dict(_metrics(store.path, evals))
    if entry.status == "done":
        told = json.loads(entry.summary)
        step = int(told.get("step", 0))
        own = {"loss": told["loss"]} if "loss" in told else {}
        return RunProgress(
            entry.id, entry.name, entry.block, entry.folder, "done", step, step, own | metrics, time=entry.time
        )
    folder = store.path / entry.folder
    told, going = read_node(folder / NODE), held(folder)
    records = last_lines(folder / "records.jsonl", RECORDS)
    last = records[-1] if records else {}
    failed = entry.status == "failed" and not going
    failure = told.get("failure", {}) if failed else {}
    steps = told.get("length", {}).get("steps") or told.get("spec", {}).get("steps")
    step = int(last.get("step", 0)) if going else last_checkpoint(folder)
    rate = steps_per_second(records) if going else None
    return RunProgress(
        run=entry.id,
        name=entry.name,
        block=entry.block,
        folder=entry.folder,
        state="running" if going else "failed" if failed else "stopped",
        step=step,
        steps=steps,
        metrics=({"loss": last["loss"]} if "loss" in last else {}) | metrics,
        steps_per_second=rate,
        tokens_per_second=last.get("tokens_per_second") if going else None,
        seconds_left=(steps - step) / rate if rate and steps else None,
        failure=f"{failure.get('code', '')}: {failure.get('message', '')}" if failure else "",
        holder=_holder(folder) if going else "",
        time=max(entry.time, _changed(folder / "records.jsonl")),
    )


def steps_per_second(records: list[dict[str, Any]]) -> float | None:
    """Return the rate over the records of the last process that wrote them; None for fewer than two.

    `seconds` of a record counts from where its process began.
    """
    own = records[-1:]
    for record in reversed(records[:-1]):
        if not (record["seconds"] < own[0]["seconds"] and record["step"] < own[0]["step"]):
            break
        own.insert(0, record)
    if len(own) < 2:
        return None
    return float((own[-1]["step"] - own[0]["step"]) / (own[-1]["seconds"] - own[0]["seconds"]))


def _metrics(store: Path, evals: dict[str, Entry]) -> Iterator[tuple[str, float]]:
    for name, entry in evals.items():
        if entry.status == "done":
            found = json.loads(entry.summary).get("metrics", {})
        else:
            lines = last_lines(store / entry.folder / "scores.jsonl", 1)
            found = lines[-1].get("metrics", {}) if lines else {}
        for metric, value in found.items():
            yield f"{name}.{metric}", value


def _holder(folder: Path) -> str:
    try:
        return (folder / ".lock").read_text(encoding="utf-8")
    except OSError:
        return ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
