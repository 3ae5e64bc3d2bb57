"""Completion of the command line in shells: scripts that are made from the parser, so that they say what it says.

Belongs here: what may stand where (`words`), and how each shell is told so.
"""

from collections.abc import Callable, Sequence

from .bash import bash
from .fish import fish
from .words import Command, commands
from .zsh import zsh

SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "fish": fish, "zsh": zsh}
"""What writes the script of each shell."""

__all__ = ["SHELLS", "Command", "commands"]
