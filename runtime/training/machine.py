"""What this machine can do at most: the matmul rate that utilisation is measured against.

Measured once per machine, dtype and number of threads and kept in the user's cache folder; remove `machine.json` there
to measure again.
"""

from __future__ import annotations

import fcntl
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch

from ...spec.cache import cache_folder
from ..store.files import write_whole

T = TypeVar("T")

FILE = "machine.json"
SECONDS = 0.6
"""Time that a measurement takes."""
SHAPES = ((2048, 2048, 2048), (4096, 384, 1536))
"""Rows, inner and outer size of the products that are timed: a square one, and a linear layer of a small model."""


def remembered(key: str, measure: Callable[[], Any], read: Callable[[Any], T]) -> T:
    """Return what was measured on this machine under `key`, measured now if it was not.

    Processes may do so at the same time: all go by what is written first, and none takes another's away. Raises what
    `measure` does, and then nothing is kept.

    Args:
        key: what is measured, and on what.
        measure: returns a value that JSON can hold.
        read: makes the result of one. What it raises ValueError or TypeError at is measured again.
    """
    path = cache_folder() / FILE
    with suppress(KeyError, TypeError, ValueError):
        return read(_known(path)[key])
    value = measure()
    with suppress(OSError), _locked(path.with_suffix(".lock")):
        known = _known(path)
        with suppress(KeyError, TypeError, ValueError):
            return read(known[key])
        write_whole(path, json.dumps({**known, key: value}, indent=1) + "\n")
    return read(value)


def _known(path: Path) -> dict[str, Any]:
    """Return what a file holds; a missing, torn or strange one holds nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def describe(device: torch.device) -> str:
    """Return the processor, the version of torch, and the threads where they matter."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}; torch {torch.__version__}"
    return f"{_processor()}; torch {torch.__version__}; {torch.get_num_threads()} threads"


def matmul_limit(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best rate of a matrix product in FLOP/s, for the threads that torch has now."""
    return remembered(f"matmul {dtype}; {describe(device)}", lambda: _measure(device, dtype), float)


def _measure(device: torch.device, dtype: torch.dtype) -> float:
    shapes = SHAPES if device.type == "cpu" else ((8192, 8192, 8192),)
    best, ends = 0.0, time.monotonic() + SECONDS
    pairs = [
        (torch.full((m, k), 0.5, device=device, dtype=dtype), torch.full((k, n), 0.5, device=device, dtype=dtype))
        for m, k, n in shapes
    ]
    rounds = 0
    while rounds < 2 or time.monotonic() < ends:
        for (m, k, n), (left, right) in zip(shapes, pairs, strict=True):
            began = now(device)
            left @ right
            seconds = now(device) - began
            best = max(best, 2.0 * m * k * n / seconds) if rounds else best
        rounds += 1
    return best


def now(device: torch.device) -> float:
    """Return seconds: of the device on a GPU, else of the processor per thread, which no other process changes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def _processor() -> str:
    with suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
