"""`lmc new`: start a project."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..project import TEMPLATES, start_project

HELP = "start a project: a folder with a spec that runs"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc new`."""
    command.add_argument("folder", metavar="NAME", type=Path, help="folder to make; its name is that of the project")
    kinds = f"{', '.join(TEMPLATES)} (default: bytes)"
    command.add_argument("--from", dest="template", choices=TEMPLATES, default="bytes", metavar="TEMPLATE", help=kinds)


def run(options: argparse.Namespace) -> int:
    """`lmc new`."""
    for path in start_project(options.folder, options.template):
        print(path)
    name = options.folder.resolve().name
    print(f"\ncd {options.folder} && lmc check {name}.lmspec    # README.md tells the next commands")
    return 0
