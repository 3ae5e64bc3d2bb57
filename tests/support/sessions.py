"""Runs what a user types: the examples of codes that no file alone triggers."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from lmc.compiler.cli import main

HEREDOC = re.compile(r"<<'(\w+)'")
WRAPPER = '#!/bin/sh\nexec "{python}" -m lmc.compiler.cli "$@"\n'


def commands(script: str) -> list[str]:
    """Return the commands of a script, each with its here-document."""
    found: list[str] = []
    end = ""
    for line in script.splitlines(keepends=True):
        if end:
            found[-1] += line
            end = "" if line.strip() == end else end
        elif line.strip() and not line.startswith("#"):
            found.append(line)
            match = HEREDOC.search(line)
            end = match.group(1) if match else ""
    assert not end, script
    return found


def typed(script: str, folder: Path) -> list[tuple[str, int, str]]:
    """Type a script in a folder, which is the working directory; return command, exit code and what was said.

    Lines that begin with `lmc` run in this process, which has torch loaded already; the shell runs the others.
    Paths of the folder are said relative to it.
    """
    return [(command, *_one(command, folder)) for command in commands(script)]


def _one(command: str, folder: Path) -> tuple[int, str]:
    code, said = _here(shlex.split(command)[1:]) if command.startswith("lmc ") else _in_a_shell(command, folder)
    return code, said.replace(f"{folder.resolve()}/", "")


def _here(arguments: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
    return code, said.getvalue()


def _in_a_shell(command: str, folder: Path) -> tuple[int, str]:
    programs = folder / ".programs"
    if not programs.is_dir():
        programs.mkdir()
        (programs / "lmc").write_text(WRAPPER.format(python=sys.executable), encoding="utf-8")
        (programs / "lmc").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr
