"""`lmc why`: where a value comes from."""

from __future__ import annotations

import argparse

from .common import EXIT_DIAGNOSTICS, add_spec, compiled_spec

HELP = "where a value comes from"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc why`."""
    add_spec(command)
    command.add_argument("path", help="BLOCK.path or BLOCK.path@RUN, such as fine.model.width")


def run(options: argparse.Namespace) -> int:
    """`lmc why`."""
    from ..plan.why import explain_value

    compiled = compiled_spec(options.file, options)
    if compiled.plan is None:
        return EXIT_DIAGNOSTICS
    for line in explain_value(compiled, options.path):
        print(line)
    return 0
