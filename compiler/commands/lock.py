"""`lmc lock`: write down what the inputs of a spec are."""

from __future__ import annotations

import argparse

from ..console import show
from .common import EXIT_DIAGNOSTICS, add_spec, compiled_spec, inputs_are_there

HELP = "write what a spec reads, files by digest and repositories by commit, to a file to commit"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc lock`."""
    add_spec(command)
    command.add_argument("--check", action="store_true", help="only say what differs from the lock; writes nothing")


def run(options: argparse.Namespace) -> int:
    """`lmc lock`."""
    compiled = compiled_spec(options.file, options)
    if compiled.plan is None or not inputs_are_there(compiled, None):
        return EXIT_DIAGNOSTICS
    from ...runtime.lock.hold import compared, locked

    if not options.check:
        for line in locked(compiled.plan).lines():
            print(line)
        return 0
    found = compared(compiled.plan)
    show([] if found is None else [found], "text")
    return 0 if found is None else EXIT_DIAGNOSTICS
