"""What `lmc profile` prints: where the time of a training went, from the files in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ...spec.diagnostic import Diagnostic, LmcError
from ..store.files import read_lines
from ..store.named import ambiguous, find
from ..store.run_store import RunStore

PARTS = {
    "data": "draw, gather and copy the examples of a step",
    "forward": "forward passes and loss",
    "backward": "backward passes",
    "optimizer": "gradient norm, clipping, update",
    "checkpoint": "copy the state; it is written in the background",
    "observers": "evaluations and probes",
}
RECORDS, PROFILE, TRACES = "records.jsonl", "profile.jsonl", "traces"


def run_folder(store: Path, name: str) -> Path:
    """Return the folder of a run, finished or not. Raises LmcError (LM0809)."""
    found = find(RunStore(store), name)
    if len(found) == 1:
        return store / found[0].folder
    if found:
        raise ambiguous(RunStore(store), name, found)
    help = "`lmc run` prints the names"
    raise LmcError(Diagnostic("LM0809", f"no run is called `{name}` in `{store}`", None, help=help))


def report(folder: Path) -> str:
    """Return a table of where the time of a training went, as lines of text.

    Parts of a step are means over its timed steps; `rest` is what a step took beyond them. Raises LmcError (LM0809)
    for a run that has none.
    """
    lines, records = list(read_lines(folder / PROFILE)), list(read_lines(folder / RECORDS))
    if not lines:
        message = f"`{folder.name}` has no profile"
        raise LmcError(Diagnostic("LM0809", message, None, help="a run has one from its 10th step on"))
    return "\n".join([*_table(lines), "", *_rates(lines, records), *_traces(folder)]) + "\n"


def _table(lines: Sequence[dict[str, Any]]) -> list[str]:
    weights = [line["steps"] for line in lines]
    whole = sum(w * line["seconds"] for w, line in zip(weights, lines, strict=True)) / sum(weights)
    means = {part: fmean([line[part] for line in lines], weights) for part in PARTS}
    rest = whole - sum(means.values())
    rows = [*((part, means[part], text) for part, text in PARTS.items()), ("rest", rest, "records, and timing noise")]
    shown = [f"{'part':<12}{'ms/step':>10}{'share':>8}  what"]
    shown += [f"{part:<12}{1e3 * s:>10.2f}{100 * s / whole:>6.1f} %  {text}" for part, s, text in rows]
    timed = "1 step was" if len(lines) == 1 else f"{len(lines):,} steps were"
    shown.append(
        f"{'step':<12}{1e3 * whole:>10.2f}{100:>6.1f} %  mean of {sum(weights):,} steps; {timed} timed by part"
    )
    return shown


def _rates(lines: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]]) -> list[str]:
    speeds = [record["tokens_per_second"] for record in records]
    shares = [record["mfu"] for record in records if record.get("mfu") is not None]
    found = [f"tokens/s     {median(speeds):,.0f} (median of {len(speeds):,} records)"] if speeds else []
    if shares:
        found.append(f"MFU          {100 * median(shares):.1f} % of the matmul rate measured on this machine")
    found.append(f"peak memory  {max(line['memory'] for line in lines) / 2**20:,.0f} MiB")
    if records and records[-1].get("skipped"):
        found.append(f"skipped      {records[-1]['skipped']:,} steps whose loss or gradient was not finite")
    return found


def _traces(folder: Path) -> list[str]:
    return [f"trace        {path}" for path in sorted((folder / TRACES).glob("step-*.json"))]
