"""Environment variables that must be set before torch starts. Imports nothing heavy."""

from __future__ import annotations

import os


def environment(jobs: int) -> dict[str, str]:
    """Return the variables of a worker, one of `jobs` on this machine; what the user has set stays.

    The allocator keeps its pages: at small widths a training step is bound by page faults of large temporaries.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
        "MALLOC_TOP_PAD_": str(64 << 20),
        "OMP_NUM_THREADS": str(max(1, cores // jobs)),
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}
