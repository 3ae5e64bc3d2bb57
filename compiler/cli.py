"""The command line: which command is meant, what is said to it, and what becomes of errors."""

from __future__ import annotations

import argparse
import difflib
import gc
import sys
from collections.abc import Sequence
from itertools import dropwhile
from types import ModuleType

from ..spec.diagnostic import LmcError
from .commands import COMMANDS
from .commands.common import EXIT_DIAGNOSTICS, EXIT_USAGE
from .console import hang_up, placed, show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    top = parser()
    options = read_arguments(top, arguments)
    if options.run is None:
        top.print_help()
        return EXIT_USAGE
    try:
        code: int = options.run(options)
        return code
    except LmcError as error:
        show([placed(error.diagnostic, error.place)], "text")
        return EXIT_DIAGNOSTICS
    except BrokenPipeError:
        hang_up()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception:
        import traceback

        traceback.print_exc()
        print(f"\ninternal error of {_version()}: please report the lines above and the file", file=sys.stderr)
        return EXIT_DIAGNOSTICS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="lmc", description="Language-model experiments from one file.")
    top.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    top.set_defaults(run=None, refuse=top.error, listed=None)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        command = commands.add_parser(command_name(module), help=module.HELP, description=module.HELP)
        command.set_defaults(run=module.run, refuse=command.error, listed=None)
        module.add_arguments(command)
    return top


def command_name(module: ModuleType) -> str:
    """Return the word of a command: the name of its module, without the `_` behind a word of Python."""
    return module.__name__.rpartition(".")[2].rstrip("_")


class _Version(argparse.Action):
    """Prints the version; finding it out is slow, so only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(_version())
        parser.exit()


def _version() -> str:
    from importlib.metadata import version

    return f"lmc {version('lmc')}"


def read_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command line says; what a command lists may stand before, between and behind its options.

    Leaves with a usage error of the command for what it does not know.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and not words[0].startswith("-"):
        _check_command(parser, words[0])
    options, rest = parser.parse_known_args(arguments)
    wrong = rest if options.listed is None else list(dropwhile(lambda text: not text.startswith("-"), rest))
    if wrong:
        options.refuse(f"unrecognized arguments: {' '.join(wrong)}")
    if rest:
        setattr(options, options.listed, [*getattr(options, options.listed), *map(options.listed_kind, rest)])
    return options


def _check_command(parser: argparse.ArgumentParser, word: str) -> None:
    """Leave with a usage error that names the nearest command if `word` is none."""
    known = list(map(command_name, COMMANDS))
    if word not in known:
        near = difflib.get_close_matches(word, known, 1)
        hint = f"did you mean `lmc {near[0]}`?" if near else "`lmc --help` lists them"
        parser.error(f"there is no command `{word}`; {hint}")


def process() -> None:
    """Run the command line as a process. What it loaded is not searched for garbage at its end: that takes long."""
    code = main()
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    process()
