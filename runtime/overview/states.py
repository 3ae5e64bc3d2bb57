"""What each run of a plan is in a store: new, done, partial, of another id, or recorded and no longer planned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, define, field, frozen

from ...spec.codec import CodecError, structure_spec
from ...spec.difference import Change, Difference
from ...spec.plan import Plan, Point, references
from ...spec.schema import kind_of
from ...spec.train import Train
from ..inputs import InputDigests
from ..store.index import NODE, Entry, read_node
from ..store.made import source_of
from ..store.run_store import RunStore
from .folders import held, last_checkpoint

Sign = Literal["+", "=", ">", "~", "-"]


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

        Blocks that are no longer in the file and left runs follow.
        """
        source = source_of(self.plan.header, self.store.path)
        here = json.dumps(source, sort_keys=True)
        named: dict[tuple[str, str], Entry] = {}
        same_id: dict[str, Entry] = {}
        recorded = sorted((e for e in self.entries.values() if e.kind == "train"), key=lambda e: e.time)
        for entry in recorded:
            same_id[entry.id] = entry
            if entry.source == here or json.loads(entry.source or "{}").get("file") == source["file"]:
                named[entry.block, entry.name] = entry
        planned = {point.run for point in self.plan.points}
        names = {(point.grid, point.name) for point in self.plan.points}
        orphans: dict[str, list[RunState]] = {}
        for entry in recorded:
            if entry.source == here and entry.id not in planned and (entry.block, entry.name) not in names:
                orphans.setdefault(entry.block, []).append(RunState(entry.id, entry.name, entry.folder, "-"))
        states = []
        for block in self._blocks(blocks):
            points = [point for point in self.plan.points if point.grid == block]
            runs = tuple(self._runs(points, same_id, named))
            kind = next(target.kind for target in self.plan.targets if target.name == block)
            gone = tuple(orphans.pop(block, ()))
            states.append(BlockState(block, kind, len(points), runs, gone, self._attached(points)))
        known = {target.name for target in self.plan.targets}
        lost = [] if blocks else [name for name in orphans if name not in known]
        return states + [BlockState(name, "block", 0, (), tuple(orphans[name])) for name in lost]

    def _blocks(self, blocks: Sequence[str]) -> list[str]:
        """Return the blocks to show, and behind them the trains whose checkpoints their runs start from."""
        runs = {target.name for target in self.plan.targets if target.kind in ("grid", "train")}
        chosen = [
            t.name for t in self.plan.targets if t.name in runs and (t.name in blocks or (not blocks and t.default))
        ]
        grids = {point.run: point.grid for point in reversed(self.plan.points)}
        waiting = [point.run for point in self.plan.points if point.grid in chosen]
        seen = set(waiting)
        while waiting:
            for other in references(self.plan.nodes[waiting.pop()].spec):
                if other not in seen and isinstance(self.plan.nodes[other].spec, Train):
                    seen.add(other)
                    waiting.append(other)
                    if grids.get(other) not in (None, *chosen):
                        chosen.append(grids[other])
        return chosen

    def _runs(
        self, points: list[Point], same_id: dict[str, Entry], named: dict[tuple[str, str], Entry]
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
                was = same_id.get(point.run) or named.get((point.grid, point.name))
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
