"""`lmc status`: how far the runs of a store are."""

from __future__ import annotations

import argparse
import json
import time

from ...spec.diagnostic import fail
from .common import add_store

HELP = "how far the runs of a store are"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc status`."""
    add_store(command)
    command.add_argument("--all", action="store_true", help="list every run")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to print it")


def run(options: argparse.Namespace) -> int:
    """`lmc status`."""
    from ...runtime.overview.running import others_running, progress
    from ...runtime.overview.status import status_json, status_text
    from ...runtime.store.run_store import RunStore

    if not options.store.is_dir():
        help = "name another with --store; `lmc run` makes one where it is started"
        raise fail("LM0809", f"there is no run store `{options.store}`", help=help)
    store = RunStore(options.store)
    runs, others = progress(store), others_running(store)
    if options.format == "json":
        print(json.dumps(status_json(runs, others), ensure_ascii=False))
        return 0
    for line in status_text(runs, others, time.time(), options.all):
        print(line)
    return 0
