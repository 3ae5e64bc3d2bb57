"""`lmc check`: find mistakes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..console import show
from .common import EXIT_DIAGNOSTICS, add_spec, add_strict, compiled_silently, lists

HELP = "find mistakes; writes nothing"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc check`."""
    add_spec(command, many=True)
    lists(command, "file", Path)
    add_strict(command)
    command.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to print them")


def run(options: argparse.Namespace) -> int:
    """`lmc check`. A mistake in what several files import is told once."""
    compiled = [compiled_silently(path, options) for path in options.file]
    show(list(dict.fromkeys(found for one in compiled for found in one.diagnostics.items)), options.format)
    return EXIT_DIAGNOSTICS if any(one.plan is None for one in compiled) else 0
