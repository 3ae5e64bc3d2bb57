"""CPU time of `lmc check` and `lmc compile` on the 7,800-run grid, whole processes, one core.

    python benchmarks/bench_compile.py [--repeat N] [--json FILE]

Goals: check 0.25 s, compile 1.0 s. A calibration loop stands beside them, so that machines can be compared.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "memory.lmspec"
CALIBRATION = "x = 0\nfor i in range(10_000_000): x += i"


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        lmc = [sys.executable, "-m", "lmc.compiler.cli"]
        quick = ["--with", "quick"]
        commands = {
            "calibration (10M additions)": [sys.executable, "-c", CALIBRATION],
            "lmc check, 7 runs": [*lmc, "check", str(EXAMPLE), *quick],
            "lmc check, 7,800 runs": [*lmc, "check", str(EXAMPLE)],
            "lmc compile, 7,800 runs": [*lmc, "compile", str(EXAMPLE), "-o", f"{folder}/plan"],
        }
        times = {name: [cpu_seconds(command) for _ in range(chosen.repeat)] for name, command in commands.items()}
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {chosen.repeat} runs each"
    )
    for name, values in times.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<28} {middle:6.2f} s CPU   ({low:.2f} to {high:.2f})")
    if chosen.json:
        chosen.json.write_text(json.dumps({"python": platform.python_version(), "cpu_seconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
