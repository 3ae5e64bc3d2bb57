"""Child processes that run statements: kept warm, one statement each at a time, killed when they are late."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

START_SECONDS = 60.0
"""How long a child may take to open its database, on a machine that is busy."""

GRACE_SECONDS = 0.25
"""How long after the time limit a child is killed; until then it may end the statement itself."""

LONGEST_REPLY = 2**24
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")


class DatabaseGone(Exception):
    """A child cannot open its database; `role`: it could, but not as who it is."""

    def __init__(self, why: str, role: bool = False) -> None:
        super().__init__(why)
        self.role = role


class Child:
    """One process."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        command = [sys.executable, "-P", "-m", "lmc.runtime.tools.child"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
            bufsize=0,
            process_group=0,
        )
        self.ready = False
        self.left = b""
        self._send(config)

    def wait_until_ready(self) -> None:
        """Wait for the database to be open. Raises DatabaseGone if it cannot be."""
        if not self.ready:
            reply = self._receive(START_SECONDS)
            if reply is None or "ready" not in reply:
                why = reply["failed"] if reply else "its process did not start"
                raise DatabaseGone(why, role=bool(reply and reply.get("role")))
            self.ready = True

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """Return the reply to a statement; None if there is none within `seconds` or the process has ended."""
        self._send(request)
        return self._receive(seconds)

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        file = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(file, select.POLLIN | select.POLLHUP)
        end = time.monotonic() + seconds
        while b"\n" not in self.left:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                return None
            read = os.read(file, 2**16)
            if not read:
                return None
            self.left += read
            if len(self.left) > LONGEST_REPLY:
                return None
        line, _, self.left = self.left.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply


class ChildPool:
    """At most `most` children over one database; the first starts at once. Dropped or closed, it ends them.

    Raises DatabaseGone if the database cannot be opened.
    """

    def __init__(self, config: Mapping[str, Any], most: int) -> None:
        self.config = config
        self._free = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._end = weakref.finalize(self, _kill_all, self._all)
        child = self._start()
        try:
            child.wait_until_ready()
        except BaseException:
            self._drop(child)
            raise
        self._idle.append(child)

    def run(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Return the reply to a statement: `rows`, or `refused` and why; a late child is killed and replaced.

        Raises DatabaseGone if the database cannot be opened any more.
        """
        with self._free:
            child = self._take()
            try:
                child.wait_until_ready()
                reply = child.ask(request, seconds + GRACE_SECONDS)
            except BaseException:
                self._drop(child)
                raise
            if reply is None or reply.get("lost"):
                why = "the statement ended its process" if child.dead else f"longer than {seconds:g} s"
                self._drop(child)
                child, reply = self._start(), reply or {"refused": why}
            with self._lock:
                self._idle.append(child)
            return reply

    def processes(self) -> list[int]:
        """Return the ids of the children that live."""
        with self._lock:
            return [child.process.pid for child in self._all]

    def close(self) -> None:
        """End the children; `run` starts others."""
        with self._lock:
            self._idle.clear()
            _kill_all(self._all)

    def _take(self) -> Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> Child:
        child = Child(self.config)
        with self._lock:
            self._all.add(child)
        return child

    def _drop(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.kill()


def _environment() -> dict[str, str]:
    """Return what a child needs of the environment: no tokens, no passwords."""
    kept = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("PG")}
    path = os.pathsep.join(path for path in sys.path if path)
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _kill_all(children: set[Child]) -> None:
    while children:
        children.pop().kill()
