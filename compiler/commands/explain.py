"""`lmc explain`: what a diagnostic means."""

from __future__ import annotations

import argparse
import sys

from ..console import explanation
from .common import EXIT_USAGE

HELP = "what a diagnostic means"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc explain`."""
    command.add_argument("code", help="such as LM0203")


def run(options: argparse.Namespace) -> int:
    """`lmc explain`."""
    from ..diagnostics.codes import CODES

    code = CODES.get(options.code.upper())
    if code is None:
        print(f"there is no code {options.code}; codes are {', '.join(CODES)}", file=sys.stderr)
        return EXIT_USAGE
    print(explanation(code), end="")
    return 0
