"""Files that are whole or not there: temporary name, sync, rename."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 4096
"""Bytes that are read at once to find the last line end."""
NEARLY_FULL = 1 << 20
"""Free bytes of a disk below which a failed write is one for want of room."""
OS_ERROR = re.compile(r"(?:\[Errno|os error|code:) ?(\d+)")
"""How libraries write the number of an error of the system."""


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


def open_to_readers(path: Path) -> None:
    """Give a file that a library wrote for its owner alone the mode that files are created with here."""
    created = path.with_name(f".{path.name}.{os.getpid()}.mode")
    try:
        created.touch()
        shutil.copymode(created, path)
    finally:
        created.unlink(missing_ok=True)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON object as a line, in place of a last line that was torn off."""
    with open(path, "ab+") as file:
        _drop_torn(file)
        file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())


def sync(path: Path) -> None:
    """Have a file or folder on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritten(error: BaseException, folder: Path) -> str:
    """Return in the system's words why a library could not write to a folder, and in ours where it does not say.

    Call it before what was half written is removed: a disk may be full only as long as that is there.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        if number := OS_ERROR.search(str(cause)):
            return os.strerror(int(number[1]))
    with suppress(OSError):
        if shutil.disk_usage(folder).free < NEARLY_FULL:
            return os.strerror(errno.ENOSPC)
    return "a file came out shorter than it is"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that made it; torch tells those of each process of a checkpoint in `failures`."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        failures: dict[int, tuple[BaseException, Any]] = getattr(found, "failures", {})
        more = (found.__cause__, found.__context__, *(failure for failure, _ in failures.values()))
        waiting += [each for each in more if each is not None]


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
