"""A worker: walks a plan's graph over a run store and says what happens, one event a line.

`python -m lmc.runtime PLAN` is all that a machine needs to run a plan; several workers may share a store.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from ..spec.codec import structure
from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.lock import Lock
from ..spec.plan import closure
from ..spec.records import Execution
from .events import Event

EXIT_FAILED = 3
EXIT_INTERRUPTED = 75
"""EX_TEMPFAIL: the checkpoint is kept and the same command goes on."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the worker's command line."""
    parser = argparse.ArgumentParser(prog="python -m lmc.runtime", description="Run a compiled plan.")
    parser.add_argument("plan", type=Path, help="plan folder")
    parser.add_argument("blocks", nargs="*", help="blocks to run; the plan's defaults if none")
    parser.add_argument("--store", type=Path, default=Path("runs"), help="run store (default: runs)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: cuda if present)")
    parser.add_argument("--replay", action="store_true", help="repeat finished trainings for new probes")
    parser.add_argument("--execution", type=Path, help="execution record to pin (JSON)")
    parser.add_argument("--started", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a plan and return the exit code: 0 done, 1 bad plan, 3 a node failed, 75 stopped with a checkpoint."""
    options = parser().parse_args(arguments)
    try:
        return work(options)
    except LmcError as error:
        print(f"error[{error.diagnostic.code}]: {error.diagnostic.message}", file=sys.stderr)
        return 1


def work(options: argparse.Namespace) -> int:
    """Walk the graph of the plan that the options name."""
    from . import graph
    from .extras import check_trackers
    from .inputs import InputDigests
    from .lock.hold import held, read_lock
    from .placement import default_placement
    from .session import Session
    from .store.plan_files import read_plan
    from .store.run_store import RunStore
    from .targets import select

    plan = read_plan(options.plan)
    nodes = closure(plan.nodes, select(plan, options.blocks))
    plan = held(plan, nodes)
    if not options.started:
        check_trackers(plan.nodes[node_id] for node_id in nodes)
    RunStore(options.store).create()
    components = graph.wire(plan)
    stop = StopFlag()
    session = Session(
        plan=plan,
        components=components,
        names=graph.names(plan),
        observers=graph.observers(components, nodes),
        store=RunStore(options.store),
        digests=InputDigests(plan),
        placement=default_placement(options.device),
        emit=print_event,
        stop=stop,
        started=options.started or time.time(),
        replay=options.replay,
        execution=read_execution(options.execution),
        lock=read_lock(plan.header) or Lock(),
    )
    walk = graph.Walk(session, nodes)
    states = walk.run()
    if walk.interrupted or stop() or "left" in states.values():
        return EXIT_INTERRUPTED
    return EXIT_FAILED if "failed" in states.values() else 0


def read_execution(path: Path | None) -> Execution | None:
    """Return the execution record of a file, or of a node's `node.json`. Raises LmcError (LM0702)."""
    if path is None:
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return structure(data.get("execution", data), Execution)
    except (OSError, ValueError) as error:
        raise LmcError(Diagnostic("LM0702", f"`{path}` is no execution record", None)) from error


def print_event(event: Event) -> None:
    """Print an event as a line of JSON."""
    print(event.line(), flush=True)


class StopFlag:
    """True once SIGINT or SIGTERM has come; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.raised = False
        signal.signal(signal.SIGTERM, self._raise)
        signal.signal(signal.SIGINT, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.raised and number == signal.SIGINT:
            sys.exit(EXIT_INTERRUPTED)
        self.raised = True

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        return self.raised
