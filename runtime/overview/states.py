"""What each run of a plan is in a store: new, done, partial, of another id, or recorded and no longer planned."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, define, field, frozen

from ...spec.codec import CodecError, structure_spec
from ...spec.difference import Change, Difference
from ...spec.plan import Plan, Point, closure
from ...spec.schema import kind_of
from ...spec.train import Train
from ..inputs import InputDigests
from ..store.index import NODE, Entry, read_node
from ..store.made import source_of
from ..store.run_store import RunStore
from ..targets import select
from .folders import held, last_checkpoint

Sign = Literal["+", "=", ">", "~", "-"]


MOST_COMPARED = 20
"""Records of one name, from the latest on, among which that is looked for from which a run has changed least."""


@frozen
class RunState:
    """A run of a block.

    Attributes:
        run: id of the training. name: of its point. folder: where it lies or will lie.
        sign: `+` new, `=` done, `>` partial, `~` recorded under its name with another id or other inputs, `-` recorded
            and no longer there.
        step: a partial run's last checkpoint; 0 before the first. steps: all of them; None where its run counts them.
        failure: why a partial run failed, if it did. running: whether a process holds it.
        changed: what differs from the recorded run `was`.
        replay: probes that must repeat the finished training to record.
    """

    run: str
    name: str
    folder: str
    sign: Sign
    axes: dict[str, Any] = Factory(dict)
    step: int | None = None
    steps: int | None = None
    failure: str = ""
    running: bool = False
    changed: tuple[Change, ...] = ()
    was: str = ""
    replay: tuple[str, ...] = ()


@frozen
class BlockState:
    """A grid, or a train on its own.

    Attributes:
        points: of the block; several may share a run. attached: by evaluation or probe, how many are done of how many.
    """

    name: str
    kind: str
    points: int
    runs: tuple[RunState, ...]
    orphans: tuple[RunState, ...] = ()
    attached: dict[str, tuple[int, int]] = Factory(dict)

    def of(self, sign: Sign) -> list[RunState]:
        """Return the runs of a sign."""
        return [run for run in (*self.runs, *self.orphans) if run.sign == sign]


@define
class StateReader:
    """Reads the states of a plan's runs from the index of a store, and from folders that are not done.

    Raises LmcError (LM0701) for missing input files.
    """

    plan: Plan
    store: RunStore
    digests: InputDigests = Factory(lambda self: InputDigests(self.plan), takes_self=True)
    entries: dict[str, Entry] = Factory(lambda self: self.store.entries(), takes_self=True)
    recorded: dict[str, Any] = Factory(dict)
    difference: Difference = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.difference = Difference(self._recorded_spec, lambda node_id: self.plan.nodes[node_id].spec)

    def blocks(self, blocks: Sequence[str]) -> list[BlockState]:
        """Return the states of the named blocks, the plan's default ones if none is named, and of what they start from.

        What is named may be a run, or a plot that runs are drawn by: their blocks are then shown with those runs alone.
        Blocks that are no longer in the file and left runs follow.
        """
        source = source_of(self.plan.header, self.store.path)
        here = json.dumps(source, sort_keys=True)
        named: dict[tuple[str, str], list[Entry]] = {}
        same_id: dict[str, Entry] = {}
        recorded = sorted((e for e in self.entries.values() if e.kind == "train"), key=lambda e: e.time)
        for entry in recorded:
            same_id[entry.id] = entry
            if entry.source == here or json.loads(entry.source or "{}").get("file") == source["file"]:
                named.setdefault((entry.block, entry.name), []).append(entry)
        planned = {point.run for point in self.plan.points}
        names = {(point.grid, point.name) for point in self.plan.points}
        orphans: dict[str, list[RunState]] = {}
        for entry in recorded:
            if entry.source == here and entry.id not in planned and (entry.block, entry.name) not in names:
                orphans.setdefault(entry.block, []).append(RunState(entry.id, entry.name, entry.folder, "-"))
        states = []
        wanted = {i for i in closure(self.plan.nodes, select(self.plan, blocks)) if self._is_train(i)}
        for block in self._blocks(blocks, wanted):
            points = [point for point in self.plan.points if point.grid == block and point.run in wanted]
            runs = tuple(self._runs(points, same_id, named))
            kind = next(target.kind for target in self.plan.targets if target.name == block)
            gone = tuple(orphans.pop(block, ())) if block in blocks or not blocks else ()
            states.append(BlockState(block, kind, len(points), runs, gone, self._attached(points)))
        known = {target.name for target in self.plan.targets}
        lost = [] if blocks else [name for name in orphans if name not in known]
        return states + [BlockState(name, "block", 0, (), tuple(orphans[name])) for name in lost]

    def _is_train(self, node_id: str) -> bool:
        return isinstance(self.plan.nodes[node_id].spec, Train)

    def _blocks(self, blocks: Sequence[str], wanted: Collection[str]) -> list[str]:
        """Return the named or default blocks with trainings, and behind them those that have the others `wanted`."""
        runs = {target.name for target in self.plan.targets if target.kind in ("grid", "train")}
        chosen = [
            t.name for t in self.plan.targets if t.name in runs and (t.name in blocks or (not blocks and t.default))
        ]
        points: dict[str, list[Point]] = {}
        for point in self.plan.points:
            points.setdefault(point.grid, []).append(point)
        left = set(wanted) - {point.run for block in chosen for point in points.get(block, ())}
        left &= {point.run for point in self.plan.points}

        def meant(block: str) -> tuple[int, int]:
            """Of several blocks that a run is of, that is shown which is named by it, or has most of the others."""
            runs = {point.run: point.name in blocks for point in points[block] if point.run in left}
            return sum(runs.values()), len(runs)

        while left:
            chosen.append(max(points, key=meant))
            left -= {point.run for point in points[chosen[-1]]}
        return chosen

    def _runs(
        self, points: list[Point], same_id: dict[str, Entry], named: dict[tuple[str, str], list[Entry]]
    ) -> Iterator[RunState]:
        seen: set[str] = set()
        for point in points:
            if point.run in seen:
                continue
            seen.add(point.run)
            folder = f"{point.run}-{self.digests.of(point.run)}"
            entry = self.entries.get(folder)
            steps = self.plan.nodes[point.run].spec.steps
            if entry is None:
                was = same_id.get(point.run) or self._nearest(named.get((point.grid, point.name), ()), point.run)
                changed = () if was is None else self._changed(was, point.run)
                sign: Sign = "+" if was is None else "~"
                found = "" if was is None else was.folder
                yield RunState(point.run, point.name, folder, sign, point.axes, None, steps, changed=changed, was=found)
            elif entry.status == "done":
                replay = tuple(name for name, probe in point.probes.items() if self._unrecorded(probe))
                yield RunState(point.run, point.name, folder, "=", point.axes, None, steps, replay=replay)
            else:
                yield self._partial(point, folder, entry, steps)

    def _partial(self, point: Point, folder: str, entry: Entry, steps: int | None) -> RunState:
        path = self.store.path / folder
        told = read_node(path / NODE)
        failure = str(told.get("failure", {}).get("message", "")) if entry.status == "failed" else ""
        step, steps = last_checkpoint(path), steps or told.get("length", {}).get("steps")
        return RunState(point.run, point.name, folder, ">", point.axes, step, steps, failure, held(path))

    def _unrecorded(self, probe: str) -> bool:
        folder = f"{probe}-{self.digests.of(probe)}"
        done = folder in self.entries and self.entries[folder].status == "done"
        return not done and not (self.store.path / folder / "recordings.jsonl").is_file()

    def _attached(self, points: list[Point]) -> dict[str, tuple[int, int]]:
        nodes: dict[str, dict[str, None]] = {}
        for point in points:
            for name, node_id in (*point.evals.items(), *point.probes.items()):
                nodes.setdefault(name, {})[node_id] = None
        return {name: (sum(map(self._done, ids)), len(ids)) for name, ids in nodes.items()}

    def _done(self, node_id: str) -> bool:
        entry = self.entries.get(f"{node_id}-{self.digests.of(node_id)}")
        return entry is not None and entry.status == "done"

    def others(self) -> dict[str, tuple[int, int]]:
        """Return by kind how many stored nodes beside trainings and what is attached to them are done, of how many."""
        found: dict[str, tuple[int, int]] = {}
        for node in self.plan.nodes.values():
            kind = kind_of(type(node.spec))
            looked = self.plan.nodes.get(node.spec.run) if kind == "eval" else None
            if kind in ("store", "plot") or (looked is not None and kind_of(type(looked.spec)) == "model"):
                done, count = found.get(kind, (0, 0))
                found[kind] = (done + self._done(node.id), count + 1)
        return found

    def _nearest(self, recorded: Sequence[Entry], run: str) -> Entry | None:
        """Return the record from which fewest values change, of those the latest; they come in the order of time."""

        def distance(entry: Entry) -> tuple[bool, int]:
            changes = self._changed(entry, run)
            return self._recorded_spec(entry.id) is None, len(changes)

        newest_first = {entry.id: entry for entry in reversed(recorded)}
        return min(list(newest_first.values())[:MOST_COMPARED], key=distance, default=None)

    def _changed(self, was: Entry, run: str) -> tuple[Change, ...]:
        """Return what differs between a recorded run and a planned one: bytes of files, or values."""
        if was.id == run:
            before = read_node(self.store.path / was.folder / NODE).get("made", {}).get("inputs", {})
            now = self.digests.files(run)
            paths = [path for path in dict.fromkeys([*before, *now]) if before.get(path) != now.get(path)]
            return tuple(Change(path, before.get(path, "")[:8], now.get(path, "")[:8]) for path in paths)
        if was.id not in self.recorded:
            self.recorded |= recorded_nodes(self.store.path / was.folder)
        return self.difference.between(was.id, run)

    def _recorded_spec(self, node_id: str) -> Any:
        """Return the spec of a recorded node; None for one that is not kept or is of another version."""
        try:
            if isinstance(self.recorded[node_id], dict):
                self.recorded[node_id] = structure_spec(self.recorded[node_id])
        except (KeyError, CodecError):
            return None
        return self.recorded[node_id]


def recorded_nodes(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the nodes that a run was made of, as JSON by id; empty where the run has not kept them."""
    try:
        lines = [json.loads(line) for line in (folder / "graph.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    return {line["node"]["id"]: line["node"]["spec"] for line in lines if "node" in line}
