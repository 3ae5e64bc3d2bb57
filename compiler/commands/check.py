"""`lmc check`: find mistakes."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import EXIT_DIAGNOSTICS, add_spec, compiled_spec, lists

HELP = "find mistakes; writes nothing"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc check`."""
    add_spec(command, many=True)
    lists(command, "file", Path)
    command.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to print them")


def run(options: argparse.Namespace) -> int:
    """`lmc check`."""
    codes = [compiled_spec(path, options, options.format).plan is None for path in options.file]
    return EXIT_DIAGNOSTICS if any(codes) else 0
