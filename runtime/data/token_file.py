"""Files of token ids: a header with count and digest, then a flat array that is mapped into memory."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from attrs import frozen

MAGIC = b"LMCTOK01"
HEADER = struct.Struct("<8sIIQQQ32s")
START = 128
"""Bytes before the first id."""
BLOCK = 1 << 22

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@frozen(eq=False)
class Tokens:
    """Token ids of documents, one behind the other.

    Attributes:
        ids: uint16[N] or uint32[N]; read-only where they are mapped from a file.
        documents: how many there are. text_bytes: of their text in UTF-8.
    """

    ids: Ids
    documents: int
    text_bytes: int


def id_type(vocab_size: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """Return the smallest type that holds every id."""
    return np.dtype(np.uint16) if vocab_size <= 1 << 16 else np.dtype(np.uint32)


def write_tokens(path: Path, parts: Iterable[Tokens]) -> None:
    """Write parts as one file, whole or not at all: under another name, synced, renamed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    digest = hashlib.sha256()
    size = count = documents = text_bytes = 0
    try:
        with open(partial, "wb") as file:
            file.write(bytes(START))
            for part in parts:
                for at in range(0, len(part.ids), BLOCK):
                    block = np.ascontiguousarray(part.ids[at : at + BLOCK]).data
                    digest.update(block)
                    file.write(block)
                size, count = part.ids.dtype.itemsize, count + len(part.ids)
                documents, text_bytes = documents + part.documents, text_bytes + part.text_bytes
            file.seek(0)
            file.write(HEADER.pack(MAGIC, size, 0, count, documents, text_bytes, digest.digest()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_tokens(path: Path) -> Tokens | None:
    """Return what `write_tokens` wrote, mapped into memory; None if it is not there, not whole, or damaged."""
    try:
        with open(path, "rb") as file:
            head = file.read(START)
        magic, size, _, count, documents, text_bytes, digest = HEADER.unpack(head[: HEADER.size])
        if magic != MAGIC or size not in (2, 4) or path.stat().st_size != START + size * count:
            return None
        kind = np.dtype(np.uint16) if size == 2 else np.dtype(np.uint32)
        ids = np.memmap(path, dtype=kind, mode="r", offset=START, shape=(count,)) if count else np.empty(0, kind)
    except (OSError, ValueError, struct.error):
        return None
    found = hashlib.sha256()
    for at in range(0, count, BLOCK):
        found.update(np.ascontiguousarray(ids[at : at + BLOCK]).data)
    return Tokens(ids, documents, text_bytes) if found.digest() == digest else None
