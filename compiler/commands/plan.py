"""`lmc plan`: what a run would do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .common import (
    EXIT_DIAGNOSTICS,
    add_changes,
    add_store,
    add_strict,
    compiled_spec,
    inputs_are_there,
    is_spec,
    lists,
    only_plan,
    outdated,
)

HELP = "what a run would do: what is new, done, partial, changed or gone, and what it takes"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc plan`."""
    target = "plan folder or .lmspec (default: the only plan in build/)"
    command.add_argument("target", nargs="?", type=Path, help=target)
    command.add_argument("blocks", nargs="*", help="grids and trains (default: those that run without being named)")
    lists(command, "blocks")
    add_changes(command)
    add_strict(command)
    add_store(command)
    command.add_argument("--all", action="store_true", help="a line for every run")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to print it")


def run(options: argparse.Namespace) -> int:
    """`lmc plan`."""
    plan = _plan(options)
    if plan is None:
        return EXIT_DIAGNOSTICS
    from ...runtime.lock.hold import drift, read_lock
    from ...runtime.overview.report import plan_json, plan_text
    from ...runtime.overview.states import StateReader
    from ...runtime.repositories import pinned
    from ...runtime.store.run_store import RunStore
    from ...runtime.targets import select
    from ...spec.lock import Lock
    from ...spec.plan import closure

    nodes, lock = closure(plan.nodes, select(plan, options.blocks)), read_lock(plan.header)
    changed = [] if lock is None else drift(plan, nodes, lock)
    plan = pinned(plan, lock or Lock())
    reader = StateReader(plan, RunStore(options.store))
    blocks, others = reader.blocks(options.blocks), reader.others()
    if options.format == "json":
        print(json.dumps(plan_json(plan, blocks, others, changed), ensure_ascii=False))
        return 0
    for line in plan_text(plan, blocks, others, changed, options.all):
        print(line)
    return 0


def _plan(options: argparse.Namespace) -> Any:
    """Return the plan that is asked about, of what its sources now say; None after diagnostics."""
    target = only_plan() if options.target is None else options.target
    compiled = compiled_spec(target, options) if is_spec(target) else outdated(target, options)
    if compiled is None:
        from ...runtime.store.plan_files import read_plan

        return read_plan(target)
    there = compiled.plan is not None and inputs_are_there(compiled, options.blocks)
    return compiled.plan if there else None
