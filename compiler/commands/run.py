"""`lmc run`: run a plan or a spec."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ..console import render_failure
from .common import BUILD, EXIT_DIAGNOSTICS, add_changes, add_device, add_store, compiled_spec, lists, write_compiled

HELP = "run a plan or a spec: what is done is not done again"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc run`."""
    target = "plan folder or .lmspec (default: the only plan in build/)"
    command.add_argument("target", nargs="?", type=Path, help=target)
    command.add_argument("blocks", nargs="*", help="blocks or runs (default: grids, and trains that are no one's base)")
    lists(command, "blocks")
    add_changes(command)
    add_store(command)
    add_device(command)
    command.add_argument("--jobs", type=int, help="workers at a time (default: one per core, one on a GPU)")
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
            replay=options.replay,
            execution=options.execution,
        ),
        render_failure,
    )


def _plan_folder(options: argparse.Namespace) -> Path | None:
    """Return the plan to run, compiled if a spec is named or a source has changed; None after diagnostics."""
    target: Path = options.target
    if options.target is None:
        plans = sorted(path.parent for path in BUILD.glob("*/plan.jsonl"))
        if len(plans) != 1:
            named = f"plans are {', '.join(map(str, plans))}" if plans else "there is none under build/"
            raise LmcError(Diagnostic("LM0803", f"say which plan to run: {named}", None, help="lmc run PLAN"))
        target = plans[0]
    if target.suffix != ".lmspec" and not target.is_file():
        return _fresh(target, options)
    compiled = compiled_spec(target, options)
    if compiled.plan is None:
        return None
    folder: Path = BUILD / compiled.plan.header.name
    write_compiled(compiled, folder)
    return folder


def _fresh(folder: Path, options: argparse.Namespace) -> Path | None:
    """Return the plan folder, compiled again if one of its sources has changed or changes are asked for."""
    from hashlib import sha256

    from ...runtime.store.plan_files import read_header

    header = read_header(folder)
    changed = [
        s.path
        for s in header.sources
        if Path(s.path).is_file() and sha256(Path(s.path).read_bytes()).hexdigest() != s.sha256
    ]
    if not changed and not options.overlays and not options.settings:
        return folder
    if changed:
        print(f"{', '.join(changed)} changed since the plan was compiled; compiling it again")
    options.overlays = [*header.overlays, *options.overlays]
    options.settings = [*header.settings, *options.settings]
    compiled = compiled_spec(Path(header.sources[0].path), options)
    if compiled.plan is None:
        return None
    write_compiled(compiled, folder)
    return folder
