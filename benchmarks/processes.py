"""What benchmarks of commands share: CPU time of whole processes on one core, a calibration loop, a report."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

CALIBRATION = [sys.executable, "-c", "x = 0\nfor i in range(10_000_000): x += i"]
"""Ten million additions, so that machines can be compared."""
LMC = [sys.executable, "-m", "lmc.compiler.cli"]
EXAMPLE = Path(__file__).parent.parent / "examples" / "memory.lmspec"
"""A grid of 7,800 runs."""
_BYTECODE = tempfile.TemporaryDirectory()
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of the measured processes: they find modules compiled by the one before, as commands of an installation do."""
ENVIRONMENT["PYTHONPYCACHEPREFIX"] = _BYTECODE.name


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(measures: dict[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """Return what each measure gives so many times, after one that compiles modules and fills caches."""
    for measure in measures.values():
        measure()
    times: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeat):
        for name, measure in measures.items():
            times[name].append(measure())
    return times


def processes(commands: dict[str, list[str]], repeat: int) -> dict[str, list[float]]:
    """Return the CPU time of each command so many times, in turn."""
    return measured({name: partial(cpu_seconds, command) for name, command in commands.items()}, repeat)


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
