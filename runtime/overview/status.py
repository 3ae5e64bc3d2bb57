"""`lmc status` as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import asdict

from ..store.named import spellings
from .amounts import about, duration
from .running import RunProgress, State

SHOWN = 10
"""Most runs of a state that are listed, the newest."""
STATES: tuple[State, ...] = ("running", "failed", "stopped", "done")


def status_text(
    runs: Sequence[RunProgress], others: Sequence[tuple[str, str]], now: float, whole: bool
) -> Iterator[str]:
    """Yield the lines of `lmc status` at a wall time; `whole`: every run is listed."""
    counts = {state: sum(run.state == state for run in runs) for state in STATES}
    called = spellings((run.name, run.folder) for run in runs)
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    yield f"{len(runs):,} run{'s' * (len(runs) != 1)}" + (f": {told}" if told else "")
    for state in STATES:
        found = [run for run in runs if run.state == state]
        shown = found if whole else found[-SHOWN:]
        if shown:
            yield ""
            folded = f", the last {len(shown)} of {len(found):,} (--all lists every run)"
            yield state + (folded if len(shown) < len(found) else "")
        labels = [_label(run, called[run.folder]) for run in shown]
        width = max(map(len, labels), default=0)
        for run, label in zip(shown, labels, strict=True):
            yield f"  {label:<{width}}  {_line(run, now)}"
    if others:
        yield ""
        yield "and being made: " + ", ".join(f"{kind} {name}" for kind, name in others)


def status_json(runs: Sequence[RunProgress], others: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return all of it for machines."""
    return {
        "counts": {state: sum(run.state == state for run in runs) for state in STATES},
        "runs": [asdict(run) for run in runs],
        "others": [{"kind": kind, "name": name} for kind, name in others],
    }


def _label(run: RunProgress, called: str) -> str:
    """Return the name of a run, and what means it alone where others have the name."""
    return run.name if called == run.name else f"{run.name}  {called}"


def _line(run: RunProgress, now: float) -> str:
    parts = [f"step {run.step:,}" + (f" of {run.steps:,}" if run.steps and run.steps != run.step else "")]
    parts += [f"{name} {value:.4g}" for name, value in run.metrics.items()]
    if run.state == "running":
        parts += [f"{about(run.tokens_per_second)} tokens/s"] if run.tokens_per_second else []
        parts += [f"{duration(run.seconds_left)} left"] if run.seconds_left is not None else []
        parts += [run.holder] if run.holder else []
    if run.failure:
        parts.append(run.failure)
    return "; ".join([*parts, f"{duration(max(0.0, now - run.time))} ago"])
