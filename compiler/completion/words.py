"""What may stand where on a command line, read off its argparse parser.

check [--with OVERLAY] [--format text|json|github] FILE ...
  -> Command("check", options=(Option(("--with",), "overlay"), ...), places=(Place("spec", many=True),))
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from ..syntax.parse import KINDS

BLOCK_KINDS = "|".join(sorted(KINDS))
"""As an extended regular expression, for shells that look for names of blocks."""

BY_NAME = {
    "overlays": "overlay",
    "settings": "setting",
    "blocks": "block",
    "names": "block",
    "path": "block",
    "target": "spec",
    "what": "spec",
    "name": "run",
    "folder": "folder",
    "store": "folder",
    "write": "folder",
    "code": "code",
    "word": "word",
}
"""What an argument of that name takes, where its type does not say it."""


@frozen
class Taken:
    """What a word may be.

    Attributes:
        what: "spec", "file", "folder", "overlay", "setting", "block", "run", "choice", or "" where nothing is known.
        choices: the words of a choice.
    """

    what: str = ""
    choices: tuple[str, ...] = ()


@frozen
class Option:
    """An option: its spellings, and what it takes; `value` is None for a switch."""

    flags: tuple[str, ...]
    help: str
    value: Taken | None
    repeats: bool


@frozen
class Place:
    """A word that is no option; `many` if more of it may follow."""

    name: str
    help: str
    value: Taken
    many: bool


@frozen
class Command:
    """A command and what may follow it."""

    name: str
    help: str
    options: tuple[Option, ...]
    places: tuple[Place, ...]

    def place(self, number: int) -> Place | None:
        """Return what may stand at a place, counted from 0."""
        if number < len(self.places):
            return self.places[number]
        return self.places[-1] if self.places and self.places[-1].many else None


def commands(parser: argparse.ArgumentParser) -> tuple[Command, ...]:
    """Return the commands of a parser, in its order."""
    listed = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in listed._choices_actions}
    return tuple(_command(name, helps.get(name, ""), found) for name, found in listed.choices.items())


def _command(name: str, help: str, parser: argparse.ArgumentParser) -> Command:
    actions = parser._actions
    options = tuple(_option(action) for action in actions if action.option_strings)
    return Command(name, help, options, tuple(_places(a for a in actions if not a.option_strings)))


def _option(action: argparse.Action) -> Option:
    repeats = isinstance(action, argparse._AppendAction)
    return Option(
        tuple(action.option_strings), action.help or "", None if action.nargs == 0 else _taken(action), repeats
    )


def _places(actions: Iterator[argparse.Action]) -> Iterator[Place]:
    for action in actions:
        name = action.metavar if isinstance(action.metavar, str) else action.dest
        yield Place(name, action.help or "", _taken(action), action.nargs in ("*", "+"))


def _taken(action: argparse.Action) -> Taken:
    if action.choices is not None:
        return Taken("choice", tuple(map(str, action.choices)))
    what = BY_NAME.get(action.dest, "")
    if what in ("code", "word"):
        return Taken("choice", _manual_words() if what == "word" else _codes())
    if not what and action.type is Path:
        what = "spec" if ".lmspec" in (action.help or "") else "file"
    return Taken(what)


def _codes() -> tuple[str, ...]:
    from ..diagnostics.codes import CODES

    return tuple(CODES)


def _manual_words() -> tuple[str, ...]:
    from ..manual.describe import describe_kind, kinds
    from ..manual.topics import topics

    found = [describe_kind(kind) for kind in kinds()]
    variants = [f"{kind.title}.{variant.name}" for kind in found for variant in kind.variants if variant.name]
    pages = [topic.name for topic in topics() if "/" not in topic.name]
    return tuple(dict.fromkeys([*(kind.title for kind in found), *variants, *pages, "values", *_codes()]))
