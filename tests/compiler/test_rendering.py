"""Diagnostics on terminals: colours, narrow ones, tabs and characters of other widths."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path

import pytest

from lmc.compiler.diagnostics.render import render_text
from lmc.spec.diagnostic import Diagnostic
from lmc.spec.span import Source, Span

WRONG = "model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : atention { heads = 2 } }\n"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def checked(folder: Path, columns: int | None, **environment: str) -> str:
    """What `lmc check` writes to standard error: a terminal of so many columns, or a pipe."""
    (folder / "case.lmspec").write_text("tokenizer bytes : byte {}\n" + WRONG, encoding="utf-8")
    command = [sys.executable, "-m", "lmc.compiler.cli", "check", "case.lmspec"]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    every = {**kept, "TERM": "xterm-256color", **environment}
    if columns is None:
        return subprocess.run(command, cwd=folder, env=every, stderr=subprocess.PIPE, text=True, timeout=60).stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    subprocess.run(command, cwd=folder, env=every, stderr=theirs, timeout=60)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # nothing is left of a terminal that is closed
            break
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("columns", "environment", "colored"),
    [
        (120, {}, True),
        (None, {}, False),
        (120, {"NO_COLOR": "1"}, False),
        (120, {"TERM": "dumb"}, False),
        (None, {"FORCE_COLOR": "1"}, True),
        (None, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(
    columns: int | None, environment: dict[str, str], colored: bool, tmp_path: Path
) -> None:
    said = checked(tmp_path, columns, **environment)
    assert bool(ESCAPE.search(said)) == colored
    assert "there is no mixer variant `atention`" in said


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 300])
def test_lines_of_a_source_fit_a_terminal(columns: int, tmp_path: Path) -> None:
    lines = ESCAPE.sub("", checked(tmp_path, columns)).splitlines()
    source, marks = next(line for line in lines if line.startswith(" 2 |")), next(line for line in lines if "^" in line)
    assert len(source) <= columns
    assert source[marks.index("^") : marks.rindex("^") + 1] == "atention"
    assert any("case.lmspec:2:80" in line and len(line) <= columns for line in lines)


def cells(text: str) -> int:
    """How many cells a text takes, from the tables of Unicode alone."""
    wide = sum(unicodedata.east_asian_width(c) in ("W", "F") for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in text)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\t",
        "a\tb\t",
        "模型 = ",
        "é e\u0301 ",
        "\N{FIRE}\ufe0f ",
        "\uff57\uff49\uff44\uff45\t",
        "x" * 500,
        "模" * 300,
        "e\u0301" * 300,
    ],
)
@pytest.mark.parametrize("marked", ["wrong", "幅", "a\u0308b", "模型名"])
@pytest.mark.parametrize("columns", [None, 50])
def test_the_caret_is_under_what_it_marks(before: str, marked: str, columns: int | None) -> None:
    source = Source("case.lmspec", f"{before}{marked} = 3 {'y' * 300}\n")
    span = Span(source, len(before), len(before) + len(marked))
    shown = render_text([Diagnostic("LM0203", "wrong", span)], columns=columns).splitlines()
    line, marks = (one.partition("| ")[2] for one in shown[-2:])
    at = next(i for i in range(len(line)) if cells(line[:i]) == marks.index("^") and line[i:].startswith(marked))
    assert cells(line[at : at + len(marked)]) == marks.count("^") == len(marks.strip())
    assert cells(shown[-2]) <= (columns or 210)
