"""Daemon threads that run functions, each within a time limit.

A function that is late is given up: its future gets a value that was agreed on, another thread takes the place of its
own, and an exception is raised in it, which ends a loop of Python but not a call that is stuck in C. Threads, because
a function of the user may hold what cannot be sent to a process; daemons, because a stuck one must not keep the
interpreter from ending.

An exception may be raised in a worker between any two lines until it has seen that it is given up, so workers use
only locks and queues that C implements: those are never left half released.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
MOST_STUCK = 64
"""Threads that may be stuck at once; then new work is late before it begins."""


class GivenUp(BaseException):
    """Raised in a function that is late."""


class Workers(Generic[T]):
    """At most `count` threads at work; when it is dropped or closed, they end."""

    def __init__(self, count: int) -> None:
        self._crew: _Crew[T] = _Crew(count)
        self._end = weakref.finalize(self, self._crew.stop)

    def submit(self, work: Callable[[], T], seconds: float, late: T) -> Future[T]:
        """Run `work` in a thread; the future has its result or exception, or `late` after `seconds` of work."""
        return self._crew.submit(_Task(work, seconds, late))

    def close(self) -> None:
        """End the threads, busy ones when they are done; work that has not begun is late."""
        self._end()


class _Task(Generic[T]):
    """A function, how long it may take, and what is said if it takes longer."""

    def __init__(self, work: Callable[[], T], seconds: float, late: T) -> None:
        self.work, self.seconds, self.late = work, seconds, late
        self.future: Future[T] = Future()
        self.deadline = math.inf
        self.thread = 0


class _Crew(Generic[T]):
    """What the threads share; it must not know its `Workers`, which could then never be dropped."""

    def __init__(self, count: int) -> None:
        self.count, self.threads, self.idle, self.waiting, self.stuck = count, 0, 0, 0, 0
        self.lock = threading.Lock()
        self.queue: SimpleQueue[_Task[T] | None] = SimpleQueue()
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.running: set[_Task[T]] = set()
        self.wake = math.inf
        self.stopped = self.watched = False

    def submit(self, task: _Task[T]) -> Future[T]:
        """Hand a task to a thread."""
        with self.lock:
            refused = self.stopped or self.stuck >= MOST_STUCK
            if not refused:
                self.waiting += 1
                self._hire()
                self.queue.put(task)
        if refused:
            task.future.set_result(task.late)
        return task.future

    def stop(self) -> None:
        """Let the threads end, and answer what they have not begun."""
        with self.lock:
            self.stopped, self.waiting = True, 0
            left = []
            with suppress(Empty):
                while True:
                    left.append(self.queue.get_nowait())
            for _ in range(self.threads):
                self.queue.put(None)
        self.bell.put(None)
        for task in left:
            if task is not None and task.future.set_running_or_notify_cancel():
                task.future.set_result(task.late)

    def _hire(self) -> None:
        if not self.watched:
            self.watched = True
            threading.Thread(target=self._watch, daemon=True, name="tool-limits").start()
        if self.waiting > self.idle and self.threads < self.count:
            self.threads += 1
            self.idle += 1
            threading.Thread(target=self._work, daemon=True, name="tool").start()

    def _work(self) -> None:
        task: _Task[T] | None = None
        with suppress(GivenUp):
            while (task := self.queue.get()) is not None:
                if self._begin(task) and not self._run(task):
                    break
        if task is not None:
            with self.lock:
                self.stuck -= 1

    def _begin(self, task: _Task[T]) -> bool:
        with self.lock:
            self.waiting -= 1
            if not task.future.set_running_or_notify_cancel():
                return False
            self.idle -= 1
            task.thread = threading.get_ident()
            task.deadline = time.monotonic() + task.seconds
            self.running.add(task)
            if task.deadline < self.wake:
                self.bell.put(None)
        return True

    def _run(self, task: _Task[T]) -> bool:
        """Run a task; False if it was given up."""
        result, error = None, None
        try:
            result = task.work()
        except GivenUp:
            raise
        except BaseException as caught:
            error = caught
        with self.lock:
            if task not in self.running:
                return False
            self.running.discard(task)
            self.idle += 1
        if error is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(result)  # type: ignore[arg-type]
        return True

    def _watch(self) -> None:
        """Give up what is late, until there is nothing that could be."""
        while not (self.stopped and not self.running):
            with self.lock:
                now = time.monotonic()
                late = [task for task in self.running if task.deadline <= now]
                for task in late:
                    self._give_up(task)
                self.wake = min((task.deadline for task in self.running), default=math.inf)
                wait = None if self.wake == math.inf else max(0.0, self.wake - now)
            for task in late:
                task.future.set_result(task.late)
            with suppress(Empty):
                self.bell.get(timeout=wait)

    def _give_up(self, task: _Task[T]) -> None:
        self.running.discard(task)
        self.threads -= 1
        self.stuck += 1
        self._hire()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(task.thread), ctypes.py_object(GivenUp))
