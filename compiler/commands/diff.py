"""`lmc diff`: how two specs differ by value."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..console import show
from .common import EXIT_DIAGNOSTICS, add_changes

HELP = "how two specs, plans or revisions differ by value, and which runs keep their ids"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc diff`."""
    command.add_argument("old", metavar="A", help=".lmspec, plan folder, or REV:FILE of git, such as HEAD~1:exp.lmspec")
    command.add_argument("new", metavar="B", help="the same, to compare with it")
    add_changes(command)
    command.add_argument("--all", action="store_true", help="a line for every point")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to print it")


def run(options: argparse.Namespace) -> int:
    """`lmc diff`."""
    from ...runtime.store.plan_files import read_plan
    from ..plan.diff import compare
    from ..plan.diff_text import diff_json, diff_text
    from ..plan.sides import read_side

    def side(text: str) -> Any:
        changes = (options.overlays, options.settings)
        return read_side(text, *changes, read_plan, lambda found: show(found.items, "text"))

    old, new = side(options.old), side(options.new)
    if old is None or new is None:
        return EXIT_DIAGNOSTICS
    found = compare(old, new)
    if options.format == "json":
        print(json.dumps(diff_json(old, new, found), ensure_ascii=False))
        return 0
    for line in diff_text(old, new, found, options.all):
        print(line)
    return 0
