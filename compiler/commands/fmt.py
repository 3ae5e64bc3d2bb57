"""`lmc fmt`: specs in their one layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...spec.diagnostic import Diagnostics
from ..console import show, written
from .common import EXIT_DIAGNOSTICS, EXIT_USAGE, lists

HELP = "write specs in their one layout"
STDIN = Path("-")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what may be said after `lmc fmt`."""
    what = "files, folders, or - for standard input to standard output (default: this folder)"
    command.add_argument("files", metavar="FILE", type=Path, nargs="*", help=what)
    lists(command, "files", Path)
    command.add_argument("--check", action="store_true", help="write nothing; list what would change and exit with 1")
    command.add_argument("--diff", action="store_true", help="write nothing; print what would change")


def run(options: argparse.Namespace) -> int:
    """`lmc fmt`."""
    from ..format.files import spec_files

    if STDIN in options.files and len(options.files) > 1:
        print("lmc fmt: - stands alone", file=sys.stderr)
        return EXIT_USAGE
    files = options.files if STDIN in options.files else spec_files(options.files or [Path()])
    codes = [_format(path, options) for path in files]
    return max(codes, default=0)


def _format(path: Path, options: argparse.Namespace) -> int:
    """Format one file and return the exit code for it."""
    from ..format.format import FormatError, format_source
    from ..syntax.parse import decode_source, read_bytes

    diagnostics = Diagnostics()
    name = "<stdin>" if path == STDIN else str(path)
    data = sys.stdin.buffer.read() if path == STDIN else read_bytes(path, name, diagnostics)
    source = None if data is None else decode_source(data, name, diagnostics)
    try:
        text = None if source is None else format_source(source, diagnostics)
    except FormatError as error:
        print(f"lmc fmt: {name} is left as it is: {error}; please report the file", file=sys.stderr)
        return EXIT_DIAGNOSTICS
    show(diagnostics.items, "text")
    if data is None or text is None:
        return EXIT_DIAGNOSTICS
    changed = data != text.encode()
    if changed and options.diff:
        written()(unified(name, data.decode(), text))
    if options.check or options.diff:
        if changed and not options.diff:
            written()(f"{name}\n")
        return EXIT_DIAGNOSTICS if changed and options.check else 0
    if path == STDIN:
        sys.stdout.buffer.write(text.encode())
        return 0
    return _write(path, text) if changed else 0


def unified(name: str, old: str, new: str) -> str:
    """Return the unified diff of two texts."""
    from difflib import unified_diff

    lines = unified_diff(_lines(old), _lines(new), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Return the lines of a text with their ends; only LF ends a line."""
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _write(path: Path, text: str) -> int:
    from ..format.files import write_back

    try:
        write_back(path, text)
    except OSError as error:
        print(f"lmc fmt: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_DIAGNOSTICS
    written()(f"{path}\n")
    return 0
