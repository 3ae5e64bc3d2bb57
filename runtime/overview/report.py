"""`lmc plan` as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import asdict

from ...spec.estimate import Estimate, estimate
from ...spec.lock import Drift, change_line, lock_path
from ...spec.plan import Plan
from ...spec.train import Train
from .amounts import about, in_bytes, span
from .states import BlockState, RunState, Sign

SHOWN = 3
"""Most names of runs, and most values of an axis at either end, in folded lines."""
SHORT = 6
"""Characters of the id that tell runs of one name apart."""
LISTED = 10
"""Most inputs that differ from a lock, and most reasons, unless all are asked for."""
WORDS: dict[Sign, str] = {"+": "new", "=": "done", ">": "partial", "~": "changed", "-": "orphan"}


def plan_text(
    plan: Plan,
    blocks: Sequence[BlockState],
    others: dict[str, tuple[int, int]],
    drift: Sequence[Drift],
    whole: bool,
) -> Iterator[str]:
    """Yield the lines of `lmc plan`; `drift`: from its lock. `whole`: every run has its own."""
    for number, block in enumerate(blocks):
        if number:
            yield ""
        yield from _block_text(plan, block, whole)
    if others:
        told = (f"{count:,} {kind}{'s' * (count != 1)}, {done:,} done" for kind, (done, count) in others.items())
        if blocks:
            yield ""
        yield f"beside: {'; '.join(told)}"
    if not blocks and not others:
        yield "there is nothing to run: write a train"
    path = lock_path(plan.header)
    if drift and path is not None:
        inputs = "1 input is" if len(drift) == 1 else f"{len(drift):,} inputs are"
        yield ""
        yield f"{inputs} not as {path.name} says: lmc run refuses this without --relock"
        yield from (f"  {change_line(item)}" for item in (drift if whole else drift[:LISTED]))
        if len(drift) > LISTED and not whole:
            yield f"  and {len(drift) - LISTED:,} more: --all lists every input"


def plan_json(
    plan: Plan, blocks: Sequence[BlockState], others: dict[str, tuple[int, int]], drift: Sequence[Drift]
) -> dict[str, Any]:
    """Return all of it for machines: every run with its sign, its estimate, and what of it is known."""
    return {
        "plan": plan.header.name,
        "sources": [source.path for source in plan.header.sources],
        "blocks": [
            {
                "block": block.name,
                "kind": block.kind,
                "points": block.points,
                "counts": {sign: len(block.of(sign)) for sign in WORDS},
                "runs": [asdict(run) | {"estimate": _estimate_json(plan, run)} for run in block.runs],
                "orphans": [{"run": run.run, "name": run.name, "folder": run.folder} for run in block.orphans],
                "attached": {name: {"done": d, "count": n} for name, (d, n) in block.attached.items()},
            }
            for block in blocks
        ],
        "others": {kind: {"done": done, "count": count} for kind, (done, count) in others.items()},
        "drift": [asdict(item) for item in drift],
    }


def _estimate_json(plan: Plan, run: RunState) -> dict[str, Any]:
    found = _estimate(plan, run)
    return asdict(found) | {"memory": found.memory}


def _estimate(plan: Plan, run: RunState) -> Estimate:
    return estimate(plan.nodes[run.run].spec, lambda node_id: plan.nodes[node_id].spec)


def _block_text(plan: Plan, block: BlockState, whole: bool) -> Iterator[str]:
    if not block.runs:
        yield f"{block.name}: no longer in the file"
    else:
        runs = f"{len(block.runs):,} run{'s' * (len(block.runs) != 1)}"
        points = f"{block.points:,} point{'s' * (block.points != 1)}, " if block.kind == "grid" else ""
        yield f"{block.kind} {block.name}: {points}{runs}"
        yield from _axes(block)
    for sign, word in WORDS.items():
        runs_of = block.of(sign)
        if runs_of and whole:
            yield from (f"  {sign} {run.name}  {run.folder}{_detail(run)}" for run in runs_of)
        elif runs_of:
            yield from _folded(sign, word, runs_of)
    replayed = [run for run in block.runs if run.replay]
    if replayed:
        probes = ", ".join(dict.fromkeys(name for run in replayed for name in run.replay))
        yield f"  ! needs replay: probe {probes} of {_names(replayed)}; lmc run --replay"
    for name, (done, count) in block.attached.items():
        yield f"    {name}: {done:,} of {count:,} done"
    if block.runs:
        yield from _costs(plan, block)
        yield from _choices(plan, block)


def _axes(block: BlockState) -> Iterator[str]:
    values: dict[str, dict[str, str]] = {}
    for run in block.runs:
        for path, value in run.axes.items():
            values.setdefault(path, {})[json.dumps(value)] = _value(value)
    for path, found in values.items():
        listed = list(found.values())
        if len(listed) > 2 * SHOWN + 1:
            listed = [*listed[:SHOWN], "...", *listed[-SHOWN:]]
        yield f"    {path} = {', '.join(listed)}" + (f"   ({len(found):,})" if len(found) > SHOWN else "")


def _value(value: Any) -> str:
    """Return a value as the language writes it, shortened; a variant is kept as its text."""
    if value is None:
        return "none"
    plain = isinstance(value, str) and value.endswith("}")
    text = f"{value:.6g}" if isinstance(value, float) else value if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _folded(sign: Sign, word: str, runs: Sequence[RunState]) -> Iterator[str]:
    groups: dict[str, list[RunState]] = {}
    for run in runs:
        groups.setdefault(_reason(run), []).append(run)
    if list(groups) == [""]:
        yield f"  {sign} {len(runs):,} {word}: {_names(runs)}"
        return
    yield f"  {sign} {len(runs):,} {word}"
    for reason, group in sorted(groups.items(), key=lambda item: -len(item[1]))[:LISTED]:
        many = f" ({len(group):,})" if len(group) > 2 * SHOWN else ""
        yield f"      {_names(group)}{many}: {reason or word}"
    if len(groups) > LISTED:
        left = sum(map(len, groups.values())) - sum(sorted(map(len, groups.values()))[-LISTED:])
        yield f"      and {left:,} more: --all lists every run"


def _names(runs: Sequence[RunState]) -> str:
    counts = Counter(run.name for run in runs)
    names = [f"{run.name} ({run.run[:SHORT]})" if counts[run.name] > 1 else run.name for run in runs]
    if len(names) > 2 * SHOWN:
        names = [*names[:SHOWN], "...", names[-1]]
    return ", ".join(names)


def _detail(run: RunState) -> str:
    return f"  {_reason(run)}" if _reason(run) else ""


def _reason(run: RunState) -> str:
    """Return what is to be said of a run beside its sign."""
    if run.sign == "~":
        if run.was.partition("-")[0] == run.run:
            return "; ".join(f"{c.path} {c.old or 'unread'} -> {c.new or 'unread'}" for c in run.changed)
        changes = [f"{change.path} {_value(change.old)} -> {_value(change.new)}" for change in run.changed]
        return "; ".join(changes) or "recorded under an id of another version"
    if run.sign != ">":
        return ""
    place = f"step {run.step or 0:,}" + (f" of {run.steps:,}" if run.steps else "")
    if run.running:
        return f"running, last checkpoint at {place}"
    begins = f"resumes at {place}" if run.step else "begins again"
    return f"failed ({run.failure}), {begins}" if run.failure else begins


def _costs(plan: Plan, block: BlockState) -> Iterator[str]:
    """Yield what a run takes, and what those take that are not done."""
    found = [(run, _estimate(plan, run)) for run in block.runs]
    left = [e for run, e in found if run.sign != "="]
    shorter = "" if _fixed_length(plan, block) else " at most"
    yield f"    parameters  {span([e.params for _, e in found])}"
    for name, unit in (("tokens", ""), ("flops", "FLOP")):
        values = [getattr(e, name) for _, e in found]
        open_ = [getattr(e, name) for e in left]
        of_a_run = (f" {unit}" if unit else "") + f" a run{shorter}"
        line = span(values) + (of_a_run if any(value is not None for value in values) else "")
        if len(found) > 1 and left and None not in open_:
            line += f"; {about(sum(open_))} for the {len(left):,} that are not done"
        yield f"    {'compute' if unit else name:<11} {line}"
    memory = [e.memory for _, e in found]
    states = [e.state for _, e in found]
    if None in memory:
        yield "    memory      known when the vocabulary is"
    else:
        kept = f"{span(states, in_bytes)} are weights and optimiser"
        yield f"    memory      {span(memory, in_bytes)} a device, of which {kept}"


def _fixed_length(plan: Plan, block: BlockState) -> bool:
    """Whether the examples of a block's runs are all as long as `seq_len` says."""
    trains: list[Train] = [plan.nodes[run.run].spec for run in block.runs[:1]]
    data = {node_id for train in trains for node_id in (train.data, *(stage.data for stage in train.stages))}
    plain = all(getattr(plan.nodes[node_id].spec, "lmc_variant", "") == "text" for node_id in data)
    return plain and all(t.batch_schedule is None and t.length_schedule is None for t in trains)


def _choices(plan: Plan, block: BlockState) -> Iterator[str]:
    """Yield the choices that change bits or cost and not what is meant, one line per set of them."""
    counts: dict[str, int] = {}
    for run in block.runs:
        text = _choice(plan, plan.nodes[run.run].spec)
        counts[text] = counts.get(text, 0) + 1
    for number, (text, count) in enumerate(counts.items()):
        yield f"    {'' if number else 'execution':<11} {text}" + (f"   x {count:,}" if len(counts) > 1 else "")


def _choice(plan: Plan, train: Train) -> str:
    precision = train.precision
    kinds = dict.fromkeys((precision.params, precision.compute, precision.reduce))
    dtype = next(iter(kinds)) if len(kinds) == 1 else f"{precision.params} kept, {precision.compute} computed"
    micro = "chosen by the run" if train.micro_batch is None else f"{train.micro_batch:,}"
    found = [dtype, f"batch {train.batch:,}, micro-batch {micro}"]
    if train.mesh is not None:
        mesh = plan.nodes[train.mesh].spec
        found.append(f"{mesh.devices} devices, dp {mesh.dp} x tp {mesh.tp}")
    if train.remat.blocks:
        found.append(f"activations of {', '.join(train.remat.blocks)} computed again")
    found.append({True: "compiled", False: "not compiled", None: "compiled if it pays"}[train.compile])
    if train.stages:
        found.append(f"{len(train.stages)} stages")
    return "; ".join(found)
