"""Files to format: which they are, and how they are written back whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

SUFFIX = ".lmspec"


def spec_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield files as they are named, and the specs under named folders in order of name; each once.

    Folders whose name begins with a dot, and links to folders, are not entered.
    """
    seen = set()
    for path in paths:
        for file in _under(path) if path.is_dir() else [path]:
            if str(file) not in seen:
                seen.add(str(file))
                yield file


def _under(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if name.endswith(SUFFIX)]
    return sorted(found)


def write_back(path: Path, text: str) -> None:
    """Replace the text of a file, whole or not at all; its mode stays, and a link to it stays a link."""
    target = path.resolve()
    mode = target.stat().st_mode
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise
