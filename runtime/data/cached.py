"""The user's cache: what is made once and can be made again, under names that say what it was made from."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return a folder of the cache: of `LMC_CACHE`, else of `XDG_CACHE_HOME` or `~/.cache`; it may not exist yet."""
    own, shared = os.environ.get("LMC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / name
    try:
        home = Path(shared) if shared else Path.home() / ".cache"
    except RuntimeError:
        home = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return home / "lmc" / name


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a path in the cache; another process that wants it waits. Raises OSError where none can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
