"""Files that are whole or not there: temporary name, sync, rename."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 4096
"""Bytes that are read at once to find the last line end."""


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once; a killed process leaves the old one or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON object as a line, in place of a last line that was torn off."""
    with open(path, "ab+") as file:
        _drop_torn(file)
        file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())


def _drop_torn(file: BinaryIO) -> None:
    """Cut a file behind its last line end; its position does not matter, it appends."""
    at = size = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - BLOCK)
        file.seek(start)
        if (found := file.read(at - start).rfind(b"\n")) >= 0:
            at = start + found + 1
            break
        at = start
    if at < size:
        file.truncate(at)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file's lines; a last line that was torn off is left out, a missing file is empty."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                return
            yield record
