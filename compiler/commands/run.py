"""`lmc run`: run a plan or a spec."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..console import render_failure
from .common import (
    BUILD,
    EXIT_DIAGNOSTICS,
    add_changes,
    add_device,
    add_store,
    add_strict,
    compiled_spec,
    inputs_are_there,
    is_spec,
    lists,
    only_plan,
    outdated,
    write_compiled,
)

HELP = "run a plan or a spec: what is done is not done again"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc run`."""
    target = "plan folder or .lmspec (default: the only plan in build/)"
    command.add_argument("target", nargs="?", type=Path, help=target)
    command.add_argument("blocks", nargs="*", help="blocks or runs (default: grids, and trains that are no one's base)")
    lists(command, "blocks")
    add_changes(command)
    add_strict(command)
    add_store(command)
    add_device(command)
    command.add_argument("--jobs", type=int, help="workers at a time (default: one per core, one on a GPU)")
    command.add_argument("--relock", action="store_true", help="accept inputs that differ from the lock, and write it")
    command.add_argument("--replay", action="store_true", help="repeat finished trainings to record new probes")
    command.add_argument("--execution", type=Path, help="pin trainings to an execution record (a node.json)")


def run(options: argparse.Namespace) -> int:
    """`lmc run`."""
    folder = _plan_folder(options)
    if folder is None:
        return EXIT_DIAGNOSTICS
    from ...runtime.launch import RunOptions, run_plan

    return run_plan(
        folder,
        RunOptions(
            store=options.store,
            blocks=options.blocks,
            device=options.device,
            jobs=options.jobs,
            relock=options.relock,
            replay=options.replay,
            execution=options.execution,
        ),
        render_failure,
    )


def _plan_folder(options: argparse.Namespace) -> Path | None:
    """Return the plan to run, compiled if a spec is named or a source has changed; None after diagnostics."""
    target: Path = only_plan() if options.target is None else options.target
    if is_spec(target):
        compiled = compiled_spec(target, options)
        folder: Path = BUILD / compiled.plan.header.name if compiled.plan else BUILD
    else:
        folder = target
        compiled = outdated(target, options)
        if compiled is None:
            return folder
    if compiled.plan is None or not inputs_are_there(compiled, options.blocks):
        return None
    write_compiled(compiled, folder)
    return folder
