"""The run store: a folder per node, and an SQLite index that can be rebuilt from the folders.

runs/index.sqlite
runs/<id>-<inputs>/node.json      what the node is, how it was made, its state and summary
runs/<id>-<inputs>/.lock          held by the process that writes
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, asdict, define, frozen

from ...spec.codec import structure, unstructure
from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.plan import Node
from ...spec.records import Execution
from .files import append_line, read_lines, write_whole
from .index import NODE, Entry, connected, entries, entry_of, put, read_node
from .made import Made

Status = Literal["new", "partial", "done", "failed"]


@frozen
class RunStore:
    """A folder of nodes."""

    path: Path

    def create(self) -> None:
        """Make the folder and the index. Raises LmcError (LM0804) where that cannot be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
            with connected(self.path):
                pass
        except (OSError, sqlite3.Error) as error:
            raise unwritable(self.path, error) from error

    def open_node(self, node: Node, inputs: str, name: str = "", made: Made | None = None) -> NodeFolder:
        """Return the folder of a node; nothing is written yet."""
        return NodeFolder(self, node, self.path / f"{node.id}-{inputs}", name or node.name, made or Made())

    def entries(self) -> dict[str, Entry]:
        """Return a line per node by folder name; the index is made again where it does not follow the folders."""
        return entries(self.path)

    def statuses(self, nodes: Sequence[tuple[str, str]]) -> dict[str, Status]:
        """Return the status of (id, inputs) pairs by id, those that were never begun left out; one query."""
        known: dict[str, Any] = {folder: entry.status for folder, entry in self.entries().items()}
        return {i: known[f"{i}-{inputs}"] for i, inputs in nodes if f"{i}-{inputs}" in known}

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Return the summary of every finished node by folder name."""
        return {folder: json.loads(e.summary) for folder, e in self.entries().items() if e.status == "done"}

    def record(self, entry: Entry) -> None:
        """Write a node's line of the index."""
        with connected(self.path) as index, index:
            put(index, [entry])


def unwritable(store: Path, error: Exception) -> LmcError:
    """Return the error (LM0804) of a store that cannot be written, or can be no longer."""
    reason = getattr(error, "strerror", None) or str(error)
    message = f"the run store `{store}` cannot be written: {reason}"
    return LmcError(Diagnostic("LM0804", message, None, help="make room, or choose another with --store"))


@define
class NodeFolder:
    """The folder of one node."""

    store: RunStore
    node: Node
    path: Path
    name: str
    made: Made = Factory(Made)
    data: dict[str, Any] = Factory(lambda self: read_node(self.path / NODE), takes_self=True)

    @property
    def status(self) -> Status:
        """Whether the node is done; `partial` if it was begun."""
        found: Status = self.data.get("status", "new")
        return found

    @property
    def summary(self) -> dict[str, Any]:
        """What the finished node said of itself."""
        found: dict[str, Any] = self.data.get("summary", {})
        return found

    @property
    def execution(self) -> Execution | None:
        """The execution record of the first start."""
        kept = self.data.get("execution")
        return None if kept is None else structure(kept, Execution)

    @property
    def length(self) -> dict[str, int]:
        """How many `examples` a training counted in its data, and the `steps` that are its epochs; empty before."""
        found: dict[str, int] = self.data.get("length", {})
        return found

    def make(self) -> None:
        """Make the folder, if it is not there, and say nothing in it. Raises LmcError (LM0804)."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"the run folder `{self.path}` cannot be made: {error.strerror}"
            raise LmcError(Diagnostic("LM0804", message, None, help="choose another store with --store")) from error

    def create(self) -> None:
        """Mark the node as begun, if it is new: by who holds the folder or all that it needs. Raises as `make`."""
        self.make()
        if self.status == "new":
            self._write("partial", {})

    def set_execution(self, execution: Execution) -> None:
        """Keep the execution record."""
        self.data["execution"] = asdict(execution)
        self._write(self.status, self.summary)

    def set_length(self, examples: int, steps: int) -> None:
        """Keep what `length` tells."""
        self.data["length"] = {"examples": examples, "steps": steps}
        self._write(self.status, self.summary)

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the node as done."""
        self.data.pop("failure", None)
        self.data.pop("left", None)
        self._write("done", summary)

    def fail(self, diagnostic: Diagnostic) -> None:
        """Mark the node as failed, and why."""
        self.data["failure"] = {"code": diagnostic.code, "message": diagnostic.message, "time": time.time()}
        self._write("failed", {})

    def failed_since(self, moment: float) -> bool:
        """Whether the node failed after a wall time."""
        return self.status == "failed" and float(self.data.get("failure", {}).get("time", 0)) >= moment

    def leave(self, step: int) -> None:
        """Mark the node as one that a process left at a limit of time."""
        self.data["left"] = {"step": step, "time": time.time()}
        self._write("partial", {})

    def left_since(self, moment: float) -> bool:
        """Whether a process left the node at a limit of time after a wall time."""
        return self.status == "partial" and float(self.data.get("left", {}).get("time", 0)) >= moment

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Append a record to a file of lines."""
        append_line(self.path / name, record)

    def write_lines(self, name: str, records: Sequence[dict[str, Any]]) -> None:
        """Write a file of lines at once."""
        write_whole(self.path / name, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the records of a file of lines."""
        return list(read_lines(self.path / name))

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold the folder against other writers; gives False if another process holds it."""
        with open(self.path / ".lock", "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield True

    def holder(self) -> str:
        """Return who holds the folder, for messages."""
        try:
            return (self.path / ".lock").read_text(encoding="utf-8") or "another process"
        except OSError:
            return "another process"

    def _write(self, status: Status, summary: dict[str, Any]) -> None:
        self.data |= {
            "id": self.node.id,
            "name": self.name,
            "kind": type(self.node.spec).lmc_kind,
            "place": None if self.node.place is None else str(self.node.place),
            "spec": unstructure(self.node.spec),
            "made": asdict(self.made),
            "status": status,
            "summary": summary,
            "machine": platform.machine(),
            "host": socket.gethostname(),
            "lmc": version("lmc"),
            "time": time.time(),
        }
        write_whole(self.path / NODE, json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")
        self.store.record(entry_of(self.path.name, self.data))
