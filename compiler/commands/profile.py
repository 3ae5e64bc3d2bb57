"""`lmc profile`: where the time of a training went."""

from __future__ import annotations

import argparse

from .common import add_name

HELP = "where the time of a training went"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc profile`."""
    add_name(command, device=False)


def run(options: argparse.Namespace) -> int:
    """`lmc profile`."""
    from ...runtime.training.profile_report import report, run_folder

    print(report(run_folder(options.store, options.name)), end="")
    return 0
