"""The terminal: diagnostics and words are written to it, lines are read from it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from attrs import evolve

from ..spec.diagnostic import Diagnostic
from ..spec.span import Source, Span
from .diagnostics.codes import Code
from .diagnostics.render import render_github, render_json, render_text


def colored(stream: TextIO) -> bool:
    """Whether colours are written to a stream: a terminal that shows them, or anything where FORCE_COLOR is set.

    Never where NO_COLOR is set (no-color.org, force-color.org).
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def columns(stream: TextIO) -> int | None:
    """Return how wide a terminal is; None for what is none."""
    if not stream.isatty():
        return None
    with contextlib.suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns or None
    return None


def rendered(found: Sequence[Diagnostic]) -> str:
    """Return diagnostics as standard error shows them."""
    return render_text(found, color=colored(sys.stderr), columns=columns(sys.stderr))


def show(found: Sequence[Diagnostic], format_: str) -> None:
    """Print diagnostics, text on standard error and machine formats on standard output."""
    if format_ == "json":
        print(render_json(found))
    elif format_ == "github":
        print(render_github(found))
    elif found:
        print(rendered(found), file=sys.stderr, end="")


def render_failure(data: dict[str, Any]) -> str:
    """Return the text of a node's failure, at the declaration of its block."""
    found = placed(Diagnostic(data["code"], data["message"], None, help=data["help"]), data.get("place"))
    return rendered([found])


def placed(found: Diagnostic, place: Sequence[Any] | None) -> Diagnostic:
    """Return a diagnostic at a place of a spec, its path, line, column and text, if the file still has that line."""
    if not place:
        return found
    path, line, column, text = place
    try:
        source = Source(path, Path(path).read_text(encoding="utf-8"))
        start = source.line_starts[line - 1] + column - 1
    except (OSError, ValueError, IndexError):
        return found
    return evolve(found, span=Span(source, start, start + len(text)))


def explanation(code: Code) -> str:
    """Return what a code means, with its examples."""
    text = f"{code.code}: {code.title}\n\n{code.explanation}\n"
    if code.how:
        text += f"\nFor example: {code.how}.\n"
    examples = code.examples()
    if examples is not None:
        text += f"\nWrong:\n\n{_indented(examples[0])}\nRight:\n\n{_indented(examples[1])}"
    session = code.session()
    if session is not None:
        wrong, said, right = map(_indented, session)
        text += f"\nWrong:\n\n{wrong}\nThen it says:\n\n{said}\nWhat repairs it:\n\n{right}"
    return text


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


def written(visible: Callable[[str], str] | None = None) -> Callable[[str], None]:
    """Return what writes a text to standard output at once; characters that it cannot show are replaced.

    On a terminal the text goes through `visible` first.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if visible is None or not sys.stdout.isatty():
        return lambda text: print(text, end="", flush=True)
    return lambda text: print(visible(text), end="", flush=True)


def typed(talk: Any) -> Iterator[str]:
    """Yield the lines of standard input; on a terminal the prompt says which dialogue goes on.

    There Ctrl-C clears the line, for a dialogue that took an hour must not end by a key that stops words.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (lets `input` edit lines)
    print(talk.greeting())
    told = False
    while True:
        try:
            line = input(f"{talk.name}> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("" if told else "\n/quit or Ctrl-D leaves", file=sys.stderr)
            told = True
            continue
        yield line


def hang_up() -> None:
    """Let nothing more be written to standard output, whose reader has gone: what is buffered would fail at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
