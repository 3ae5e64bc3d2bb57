"""`lmc import`: turn YAML configurations of other codebases into a spec."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...spec.diagnostic import Diagnostics, fail
from ..console import show
from .common import EXIT_DIAGNOSTICS, lists

HELP = "turn YAML configurations of ITL or lingua into a spec"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc import`."""
    several = "YAML configuration; several near-copies become one grid"
    command.add_argument("file", type=Path, nargs="+", metavar="CONFIG.yaml", help=several)
    lists(command, "file", Path)
    command.add_argument("-o", "--output", type=Path, help=".lmspec file to write (default: standard output)")
    command.add_argument("--force", action="store_true", help="write over a file that is there")


def run(options: argparse.Namespace) -> int:
    """`lmc import`."""
    from ..interchange.importing import import_configurations

    if options.output is not None and options.output.exists() and not options.force:
        raise fail("LM0804", f"`{options.output}` is there already", help="choose another name, or say --force")
    diagnostics = Diagnostics()
    found = import_configurations(options.file, diagnostics)
    show(diagnostics.items, "text")
    if found is None:
        return EXIT_DIAGNOSTICS
    for advice in found.advice:
        print(f"note: {advice}", file=sys.stderr)
    if options.output is None:
        print(found.text, end="")
        return 0
    try:
        options.output.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise fail(
            "LM0804", f"`{options.output}` cannot be written: {error.strerror}", help="choose another file"
        ) from error
    return _checked(options.output)


def _checked(path: Path) -> int:
    """Compile what was written and say what it gives."""
    from ..pipeline import compile_spec

    compiled = compile_spec(path)
    show(compiled.diagnostics.items, "text")
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    default = {target.name for target in compiled.plan.targets if target.default}
    runs = len({point.run for point in compiled.plan.points if point.grid in default})
    print(f"{path}: {runs:,} {'run' if runs == 1 else 'runs'}")
    return 0
