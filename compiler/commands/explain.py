"""`lmc explain`: what a diagnostic means."""

from __future__ import annotations

import argparse
import sys

from ..console import explanation
from .common import EXIT_USAGE

HELP = "what a diagnostic means"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc explain`."""
    command.add_argument("code", metavar="CODE", help="such as LM0203")


def run(options: argparse.Namespace) -> int:
    """`lmc explain`."""
    from ..diagnostics.codes import CODES

    asked = options.code.upper()
    code = CODES.get(asked) or CODES.get(f"LM{asked:0>4}")
    if code is None:
        print(f"there is no code {options.code}; `lmc docs` lists them", file=sys.stderr)
        return EXIT_USAGE
    print(explanation(code), end="")
    return 0
