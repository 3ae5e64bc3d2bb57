"""`lmc chat`: talk with a trained run."""

from __future__ import annotations

import argparse
import sys

from ..console import show, typed, written
from .common import add_name
from .sampling import add_sampling, drawn_by
from .sampling import loaded as load

HELP = "talk with a trained run"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc chat`."""
    add_name(command)
    default = "(default: the special token of that name, if it is declared)"
    command.add_argument("--user", metavar="TEXT", help=f"said before what you type {default}")
    command.add_argument("--assistant", metavar="TEXT", help=f"said behind it {default}")
    add_sampling(command)


def run(options: argparse.Namespace) -> int:
    """`lmc chat`."""
    from ...runtime.generation.sampling import Sampling
    from ...runtime.talk.chat import Chat
    from ...runtime.talk.greedy import greedy_hint

    loaded, sampling = load(options), drawn_by(options, Sampling)
    show([hint] if (hint := greedy_hint([sampling])) else [], "text")
    talk = Chat(
        loaded,
        loaded.session(sampling, options.stop),
        user=options.user,
        assistant=options.assistant,
        max_tokens=options.max_tokens,
        write=written(),
        note=lambda text: print(text, file=sys.stderr, flush=True),
        terminal=sys.stdout.isatty(),
    )
    talk.run(typed(talk))
    return 0
