"""`lmc compile`: check and write a plan."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...spec.diagnostic import Diagnostics
from ..console import show
from .common import (
    BUILD,
    EXIT_DIAGNOSTICS,
    add_spec,
    add_strict,
    compiled_spec,
    inputs_are_there,
    uncollected,
    write_compiled,
)

HELP = "check and write a plan"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc compile`."""
    add_spec(command)
    add_strict(command)
    command.add_argument("-o", "--output", type=Path, help="plan folder (default: build/NAME)")
    command.add_argument("--emit", choices=("ast", "resolved", "plan"), help="print a stage instead of writing a plan")


@uncollected()
def run(options: argparse.Namespace) -> int:
    """`lmc compile`."""
    if options.emit == "ast":
        return _emit_tree(options.file)
    compiled = compiled_spec(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    plan = compiled.plan
    if options.emit:
        from ...spec.plan_text import plan_lines

        for line in plan_lines(plan) if options.emit == "plan" else compiled.sourcemap():
            print(line)
        return 0
    if not inputs_are_there(compiled):
        return EXIT_DIAGNOSTICS
    folder = options.output or BUILD / plan.header.name
    write_compiled(compiled, folder)
    default = {t.name for t in plan.targets if t.default}
    points = [point for point in plan.points if point.grid in default]
    runs = len({point.run for point in points})
    open_ = len({point.run for point in points if plan.nodes[point.run].spec.steps is None})
    counting = f"; {open_:,} will count {'its' if open_ == 1 else 'their'} steps" if open_ else ""
    print(f"{folder}: {runs:,} {'run' if runs == 1 else 'runs'}, {len(plan.nodes):,} nodes{counting}")
    return 0


def _emit_tree(path: Path) -> int:
    from ..syntax.parse import parse, read_source
    from ..syntax.printer import to_text

    diagnostics = Diagnostics()
    source = read_source(path, str(path), diagnostics)
    file = None if source is None else parse(source, diagnostics)
    show(diagnostics.items, "text")
    if file is None or diagnostics.failed:
        return EXIT_DIAGNOSTICS
    print(to_text(file), end="")
    return 0
