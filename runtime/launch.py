"""`lmc run`: start workers, show what they say, then the results. Never loads torch itself.

plan folder -> what is missing (run store) -> workers -> progress -> table, figures, a transcript
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import frozen

from ..spec.diagnostic import LmcError
from ..spec.plan import Plan, closure
from ..spec.schema import kind_of
from ..spec.tokenizer import BpeTokenizer
from .ahead import check_runnable
from .events import Event, parse_event
from .extras import check_trackers
from .inputs import InputDigests
from .lock.hold import held, relocked
from .progress import Render, Reporter, reporter
from .secrets import secret_variables
from .store.plan_files import read_plan
from .store.run_store import RunStore
from .summary import show_results
from .targets import select
from .training.environment import environment

STORED = ("store", "train", "eval", "probe", "plot")
EXIT_FAILED = 3
EXIT_INTERRUPTED = 75


@frozen(kw_only=True)
class RunOptions:
    """How to run a plan.

    Attributes:
        store: folder of the run store. blocks: names of blocks; the plan's defaults if empty.
        device: passed to the workers. jobs: workers at a time; none: one per core, one on a GPU.
        relock: accept inputs that differ from the lock. replay: repeat finished trainings for new probes.
        execution: execution record to pin.
    """

    store: Path = Path("runs")
    blocks: Sequence[str] = ()
    device: str | None = None
    jobs: int | None = None
    relock: bool = False
    replay: bool = False
    execution: Path | None = None


def run_plan(folder: Path, options: RunOptions, render: Render) -> int:
    """Run a compiled plan and return the exit code: 0 done, 3 a node failed, 75 stopped with a checkpoint.

    `render` makes text of a failure event's data. Raises LmcError for what stops the command before any work:
    a damaged plan, what no component can do, an unknown block, a missing file, inputs that differ from the lock, a
    store that cannot be written.
    """
    plan = read_plan(folder)
    nodes = closure(plan.nodes, select(plan, options.blocks))
    check_runnable(plan, nodes)
    if options.relock:
        for line in relocked(plan, nodes).lines():
            print(line)
    plan = held(plan, nodes)
    missing = todo(plan, nodes, RunStore(options.store), replay=options.replay)
    runs = {point.run for point in plan.points} & set(nodes)
    stored = [node_id for node_id in nodes if is_stored(plan.nodes[node_id].spec)]
    count = "1 run" if len(runs) == 1 else f"{len(runs):,} runs"
    print(f"{plan.header.name}: {count}; {len(stored) - len(missing):,} of {len(stored):,} nodes done")
    code = 0
    if missing:
        check_trackers(plan.nodes[node_id] for node_id in missing)
        RunStore(options.store).create()
        secrets = secret_variables(plan, missing, os.environ)
        code = work(folder, options, jobs_for(plan, missing, options), reporter(render), secrets)
    if code != EXIT_INTERRUPTED:
        show_results(plan, nodes, options.blocks, options.store)
    return code


def is_stored(spec: Any) -> bool:
    """Whether the product of a node lies in the run store."""
    return kind_of(type(spec)) in STORED or isinstance(spec, BpeTokenizer)


def todo(plan: Plan, nodes: Sequence[str], store: RunStore, *, replay: bool) -> list[str]:
    """Return the stored nodes that are not done, looking at every input file on the way."""
    digests = InputDigests(plan)
    stored = [node_id for node_id in nodes if is_stored(plan.nodes[node_id].spec)]
    done = store.statuses([(node_id, digests.of(node_id)) for node_id in stored])
    return [node_id for node_id in stored if done.get(node_id) != "done"]


def jobs_for(plan: Plan, missing: Sequence[str], options: RunOptions) -> int:
    """Return how many workers to start: one per core and missing training; one where there is a GPU."""
    if options.jobs is not None:
        return options.jobs
    on_gpu = options.device not in (None, "cpu") or (options.device is None and Path("/dev/nvidia0").exists())
    trainings = sum(kind_of(type(plan.nodes[node_id].spec)) == "train" for node_id in missing)
    return 1 if on_gpu else max(1, min(len(os.sched_getaffinity(0)), trainings))


def work(folder: Path, options: RunOptions, jobs: int, out: Reporter, secrets: Mapping[str, str]) -> int:
    """Run workers until they end, `secrets` in their environment; return the worst of their exit codes."""
    command = [sys.executable, "-m", "lmc.runtime", str(folder), *options.blocks]
    command += ["--store", str(options.store), "--started", repr(time.time())]
    command += ["--device", options.device] if options.device else []
    command += ["--execution", str(options.execution)] if options.execution else []
    command += ["--replay"] if options.replay else []
    env = {**os.environ, **environment(jobs), **secrets}
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
        for _ in range(jobs)
    ]
    forward = _forward_signals(workers)
    try:
        _show(workers, out)
    finally:
        out.close()
        forward.restore()
    return _worst([worker.wait() for worker in workers])


def _show(workers: Sequence[subprocess.Popen[str]], out: Reporter) -> None:
    lines: queue.Queue[str | None] = queue.Queue()

    def read(worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        with worker.stdout as output:
            for line in output:
                lines.put(line)
        lines.put(None)

    for worker in workers:
        threading.Thread(target=read, args=(worker,), daemon=True).start()
    shown: set[tuple[str, str]] = set()
    open_pipes = len(workers)
    while open_pipes:
        line = lines.get()
        if line is None:
            open_pipes -= 1
            continue
        event = parse_event(line)
        if event is None:
            sys.stderr.write(line)
        elif not _repeated(event, shown):
            out.show(event)


def _repeated(event: Event, shown: set[tuple[str, str]]) -> bool:
    """Whether another worker has said the same of the same node."""
    if event.kind not in ("blocked", "failed", "waiting"):
        return False
    key = (event.kind, event.node)
    seen = key in shown
    shown.add(key)
    return seen


def _worst(codes: Sequence[int]) -> int:
    for code in codes:
        if code not in (0, 1, EXIT_FAILED, EXIT_INTERRUPTED):
            reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            print(f"a worker died ({reason}); run the same command again to go on", file=sys.stderr)
    if EXIT_INTERRUPTED in codes:
        return EXIT_INTERRUPTED
    return 0 if all(code == 0 for code in codes) else EXIT_FAILED


class _forward_signals:
    """Pass SIGINT and SIGTERM on to the workers, which checkpoint and exit."""

    def __init__(self, workers: Sequence[subprocess.Popen[str]]) -> None:
        self.workers = workers
        self.before = {number: signal.signal(number, self._pass) for number in (signal.SIGINT, signal.SIGTERM)}

    def _pass(self, number: int, frame: FrameType | None) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(number)

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


__all__ = ["LmcError", "RunOptions", "run_plan"]
