"""Digests of the files that runs read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

NO_INPUTS = "0" * 8


@lru_cache(maxsize=100_000)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; read once per size and time of change."""
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def inputs_digest(files: Iterable[Path], upstream: Iterable[str]) -> str:
    """Return 8 hex digits over a node's files and the digests of its inputs; zeros if there are no files at all."""
    parts = [file_sha256(path) for path in files]
    parts += [digest for digest in upstream if digest != NO_INPUTS]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8] if parts else NO_INPUTS
