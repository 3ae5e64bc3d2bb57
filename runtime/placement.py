"""Where things run: the one module that names a device."""

from __future__ import annotations

import os

import torch
from attrs import frozen

from ..spec.diagnostic import Diagnostic, LmcError


@frozen
class Placement:
    """The product of a mesh: a device, the dtype of parameters and arithmetic, and the part of each step that is read.

    Attributes:
        rank: place among the `ranks` that share the examples of a step, from 0.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    rank: int = 0
    ranks: int = 1


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device, in bytes; a tenth of it is left for what is not counted."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] * 9 // 10
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10
    return available * 1024 * 9 // 10


def default_placement(device: str | None = None) -> Placement:
    """Return float32 on `device`; on cuda if present, else on cpu, when it is None.

    Raises LmcError (LM0903) for a device that this machine has not.
    """
    if device is None:
        return Placement(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise LmcError(Diagnostic("LM0903", f"device `{device}` cannot be used: {reason}", None)) from error
    return Placement(chosen)
