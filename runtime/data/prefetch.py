"""Prefetch: what the next steps need is made in a thread while the present step computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen(eq=False)
class _Failure:
    error: BaseException


class Prefetch(Generic[T]):
    """An iterator over make(start), make(start + 1), ... make(stop - 1), made ahead of their use, in order.

    An exception of `make` is raised where its item would have come, with its traceback; nothing comes after it. What
    `make` reads must be its own or must not change; it must not draw from torch's global generator.
    """

    def __init__(self, make: Callable[[int], T], start: int, stop: int, depth: int = 2) -> None:
        """Begin; at most `depth` items wait, and one more is being made."""
        self._make, self._next, self._stop = make, start, stop
        self._items: queue.Queue[T | _Failure] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lmc-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Return the next item, once it is there."""
        if self._closed.is_set() or self._next >= self._stop:
            self.close()
            raise StopIteration
        item = self._items.get()
        if isinstance(item, _Failure):
            self.close()
            raise item.error
        self._next += 1
        return item

    def close(self) -> None:
        """Stop making items, drop those that wait, and wait for the one that is being made. Harmless when repeated."""
        self._closed.set()
        while not self._items.empty():
            self._items.get_nowait()
        self._thread.join()

    def __enter__(self) -> Prefetch[T]:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _work(self) -> None:
        for number in range(self._next, self._stop):
            if self._closed.is_set():
                return
            try:
                item: T | _Failure = self._make(number)
            except BaseException as error:
                item = _Failure(error)
            if not self._put(item) or isinstance(item, _Failure):
                return

    def _put(self, item: T | _Failure) -> bool:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False
