"""`lmc docs`: the manual, on the terminal or as Markdown."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from ..console import colored
from .common import EXIT_USAGE

HELP = "the manual: a kind, a variant, a field, a diagnostic or a topic"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc docs`."""
    asked = "KIND[.VARIANT][.FIELD], a code, or a topic: train, mixer.attention, LM0203, grids (default: what there is)"
    command.add_argument("word", nargs="?", help=asked)
    command.add_argument("--write", type=Path, metavar="DIR", help="write the whole reference to a folder as Markdown")


def run(options: argparse.Namespace) -> int:
    """`lmc docs`."""
    if options.write is not None:
        from ..manual.pages import write_manual

        print(f"{options.write}: {write_manual(options.write)} pages")
        return 0
    from ..manual.find import near, page
    from ..manual.screen import Screen

    screen = Screen(shutil.get_terminal_size().columns, bold=colored(sys.stdout))
    text = screen.index() if options.word is None else page(options.word, screen)
    if text is None:
        close = near(options.word)
        hint = f"did you mean {' or '.join(close)}?" if close else "`lmc docs` alone lists what there is"
        print(f"the manual has nothing on `{options.word}`; {hint}", file=sys.stderr)
        return EXIT_USAGE
    print(text, end="")
    return 0
