"""What the folder of a training tells while it is not finished; nothing is written."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

TAIL = 1 << 16
"""Bytes at the end of a file of lines in which the last ones are looked for."""


def held(folder: Path) -> bool:
    """Whether a process holds the folder of a node."""
    try:
        with open(folder / ".lock", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def last_checkpoint(folder: Path) -> int:
    """Return the step of the newest checkpoint of a training's folder, 0 if there is none."""
    try:
        names = os.listdir(folder / "checkpoints")
    except OSError:
        return 0
    return max((int(name[5:]) for name in names if name.startswith("step-") and name[5:].isdigit()), default=0)


def last_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """Return the last `count` records of a file of lines, oldest first; one that is torn off is left out."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines[1:] if size > TAIL else lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in found if isinstance(record, dict)][-count:]
