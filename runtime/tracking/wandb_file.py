"""What the files of W&B hold: a log in LevelDB's format, each record a protocol buffer of the library."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..extras import library
from .sources import Scalars

BLOCK = 1 << 15
START = 7
"""Bytes of the file before its first record."""
HEAD = struct.Struct("<IHB")
"""Of each part of a record: checksum, length, and whether it is whole (1), first (2), middle (3) or last (4)."""


def steps_written(folder: Path) -> dict[str, int]:
    """Return the last step of each number that the files of a run hold; a torn end is left out."""
    found: dict[str, int] = {}
    for path in files_of(folder):
        for step, values in history(path):
            found |= {name: max(step, found.get(name, step)) for name in values}
    return found


def files_of(folder: Path) -> list[Path]:
    """Return the files of a run, the oldest first."""
    return sorted(path for path in folder.glob("*/*.wandb") if not path.parent.is_symlink())


def history(path: Path) -> Iterator[tuple[int, Scalars]]:
    """Yield step and numbers of the rows that a file holds, in order. Raises LmcError (LM0709)."""
    messages: Any = library("wandb.proto.wandb_internal_pb2", "track", "`track : wandb`")
    for data in records(path.read_bytes()):
        record = messages.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            values = {key: float(value) for key, value in items.items() if not key.startswith("_")}
            yield int(items.get("_step", record.history.step.num)), values


def records(data: bytes) -> Iterator[bytes]:
    """Yield the whole records of a log."""
    at, held = START, b""
    while at + HEAD.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEAD.size:
            at += left
            continue
        _, size, kind = HEAD.unpack_from(data, at)
        part = data[at + HEAD.size : at + HEAD.size + size]
        if kind == 0 or len(part) < size:
            return
        held = part if kind in (1, 2) else held + part
        at += HEAD.size + size
        if kind in (1, 4):
            yield held
