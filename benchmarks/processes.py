"""What benchmarks of commands share: CPU time of whole processes on one core, a calibration loop, a report."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path

CALIBRATION = [sys.executable, "-c", "x = 0\nfor i in range(10_000_000): x += i"]
"""Ten million additions, so that machines can be compared."""
LMC = [sys.executable, "-m", "lmc.compiler.cli"]
EXAMPLE = Path(__file__).parent.parent / "examples" / "memory.lmspec"
"""A grid of 7,800 runs."""


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def read_options(doc: str, repeat: int) -> argparse.Namespace:
    """Return what the command line says, on one core from here on."""
    options = argparse.ArgumentParser(description=doc.splitlines()[0])
    options.add_argument("--repeat", type=int, default=repeat)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return chosen


def report(times: dict[str, list[float]], chosen: argparse.Namespace) -> None:
    """Print median, least and most of each, and write all where `--json` says."""
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, {chosen.repeat} runs each")
    width = max(map(len, times))
    for name, values in times.items():
        print(f"{name:<{width}} {statistics.median(values):7.3f} s CPU   ({min(values):.3f} to {max(values):.3f})")
    if chosen.json:
        chosen.json.write_text(json.dumps({"python": platform.python_version(), "cpu_seconds": times}, indent=1) + "\n")
