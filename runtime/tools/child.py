"""The program of a child process: it opens one database, limits itself, and runs statements until nobody asks.

First line in: {"backend": ..., "memory": bytes, ...what opens the database}; out: {"ready": true} or {"failed": why}.
Then a statement a line in, and {"rows": [...]} or {"refused": why, "lost": whether no other can run here} a line out.
Everything between processes is JSON: what a statement made of this process, it cannot send an object back.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from .rows import Lost, Refused


def main() -> None:
    """Serve standard input until it ends."""
    lines: SimpleQueue[bytes] = SimpleQueue()
    out = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    def say(message: Mapping[str, Any]) -> None:
        os.write(out, json.dumps(message).encode() + b"\n")

    config = json.loads(lines.get())
    memory = config.pop("memory")
    try:
        gate = open_gate(config)
    except Exception as error:
        why = str(error).strip().split("\n")[0] or type(error).__name__
        say({"failed": why, "role": isinstance(error, Refused)})
        return
    limit(memory)
    say({"ready": True})
    while True:
        say(_answer(gate, json.loads(lines.get())))


def _listen(lines: SimpleQueue[bytes]) -> None:
    """Pass on what is asked; the process ends with its parent, whatever runs."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def _answer(gate: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"rows": gate.run(request.pop("text"), request.pop("values"), **request)}
    except Refused as error:
        return {"refused": str(error), "lost": isinstance(error, Lost)}
    except BaseException as error:
        return {"refused": f"{type(error).__name__}: {error}".split("\n")[0]}


def open_gate(config: dict[str, Any]) -> Any:
    """Return the gate of a backend; only its library is loaded. Raises whatever opening raises."""
    backend = config.pop("backend")
    if backend == "sqlite":
        from .sqlite_gate import SqliteGate

        return SqliteGate(**config, alone=True)
    if backend == "duckdb":
        from .duckdb_gate import DuckdbGate

        return DuckdbGate(**config)
    from .postgres_gate import PostgresGate

    return PostgresGate(**config)


def limit(memory: int) -> None:
    """Limit this process to `memory` more bytes than it has, to writing no file, and to leaving no core."""
    pages = 0
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    for kind, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory if pages else resource.RLIM_INFINITY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
