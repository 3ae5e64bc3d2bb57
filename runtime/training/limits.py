"""Limits: when a training leaves because it took too long or too much memory. They change no bit of it."""

from __future__ import annotations

import math
import time

import torch

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.train import Limits
from ...spec.units import DURATION_SUFFIXES, SIZE_SUFFIXES, written
from .memory import peak_memory

INTERVAL = 10
"""Steps between looks at the memory, which is looked at with every record as well."""
GIB = 2**30


def time_left(limits: Limits, began: float) -> float:
    """Return the seconds until `limits.wall` for work that began at `began` of time.monotonic; infinity without it."""
    return math.inf if limits.wall is None else limits.wall - (time.monotonic() - began)


def wall_reached(limits: Limits, began: float) -> str:
    """Return which limit of time is reached by work that began at `began` of time.monotonic, or ""."""
    if limits.wall is None or time_left(limits, began) > 0:
        return ""
    return f"limits.wall = {written(limits.wall, DURATION_SUFFIXES)}"


def memory_exceeded(limits: Limits, device: torch.device, step: int) -> LmcError | None:
    """Return the error (LM0903) of a training that holds too much by 1-based `step`, or None."""
    if limits.memory is None or (held := peak_memory(device)) <= limits.memory:
        return None
    allowed = written(limits.memory, SIZE_SUFFIXES)
    message = f"{held / GIB:.2f} GiB of memory were held by step {step:,}; limits.memory is {allowed}"
    help = "set a smaller micro_batch or remat { }, or raise the limit; the same command goes on from that step"
    return LmcError(Diagnostic("LM0903", message, None, help=help))
