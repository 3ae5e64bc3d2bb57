"""`lmc export`: write a trained run for another library."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_name

HELP = "write a trained run for another library"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc export`."""
    add_name(command, device=False)
    command.add_argument("--format", choices=("hf",), default="hf", help="hf: a folder that transformers loads")
    command.add_argument("-o", "--output", type=Path, required=True, help="folder to write")


def run(options: argparse.Namespace) -> int:
    """`lmc export`."""
    from ...runtime.weights.export import export_hf

    for line in export_hf(options.store, options.name, options.output):
        print(line)
    return 0
