"""`lmc completion`: the script that lets a shell complete command lines."""

from __future__ import annotations

import argparse

HELP = "print the script that completes commands, options and names in a shell"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc completion`."""
    command.add_argument("shell", choices=("bash", "fish", "zsh"), help='bash, zsh: eval "$(lmc completion SHELL)"')


def run(options: argparse.Namespace) -> int:
    """`lmc completion`."""
    from ..cli import parser
    from ..completion import SHELLS, commands

    print(SHELLS[options.shell](commands(parser())), end="")
    return 0
