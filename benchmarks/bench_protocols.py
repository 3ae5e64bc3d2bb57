"""Protocols over real vocabularies, from pattern to masks: lmc beside xgrammar, llguidance and outlines-core.

    LMC_CL100K=FILE LMC_O200K=FILE python benchmarks/bench_protocols.py [--quick] [--runs N] [--out FILE]

FILE is a .tiktoken file; a vocabulary without one is left out, as is a peer that is not installed. Every engine runs
in a process of its own, on one thread, and the pattern that counts to 200 in another, so that one blow-up does not take
the rest along. Unit: CPU time, medians. `--quick` takes cl100k and three patterns, and less than a minute.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from protocols_bars import show_bars
from protocols_report import PEERS, Figures, tables

VARIABLES = {"cl100k": "LMC_CL100K", "o200k": "LMC_O200K"}
KEYS, QUICK, COUNTING = "abcdefghm", "aem", "f"
BUDGET, QUICK_BUDGET = 8.0, 2.0
TIMEOUT = 900


def worker(engine: str, vocabulary: str, keys: str, runs: int, budget: float) -> None:
    """Measure one engine; print a line of JSON per result."""
    from protocols_engines import ENGINES, Lmc
    from protocols_measure import Meter, growth, long_text, measure
    from protocols_samples import MONITOR, load

    words, encoding = load(vocabulary)
    built, meter = ENGINES[engine](words, encoding), Meter(runs, budget)
    result("prepare", meter.timed(built.prepare))
    for key in keys:
        if key != MONITOR or built.monitors:
            result("patterns", {key: measure(built, key, meter)})
    own = isinstance(built, Lmc)
    if COUNTING in keys or (own and keys == QUICK):
        result("growth", growth(built, meter))
    if own and MONITOR in keys:
        result("long", long_text(built))
    group = COUNTING if keys == COUNTING else "rest"
    result("peak_bytes", {group: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


def result(name: str, value: Any) -> None:
    print(json.dumps({name: value}), flush=True)


def run_engine(engine: str, vocabulary: str, keys: str, runs: int, budget: float) -> dict[str, Any]:
    """Return what a process measures, as far as it comes."""
    command = [sys.executable, __file__, "--worker", engine, vocabulary, keys, "--runs", str(runs)]
    command += ["--budget", str(budget)]
    try:
        done = subprocess.run(command, env=environment(engine), capture_output=True, timeout=TIMEOUT)
        printed, why = done.stdout, done.stderr.decode().strip().split("\n")[-1] if done.returncode else ""
    except subprocess.TimeoutExpired as late:
        printed, why = late.stdout or b"", f"more than {TIMEOUT} s"
    if why:
        print(f"{engine} on {vocabulary}, patterns {keys}: stopped early: {why}", flush=True)
    found: dict[str, Any] = {}
    for line in printed.decode().split("\n")[:-1]:
        for name, value in json.loads(line).items():
            found[name] = found.get(name, {}) | value
    return found


def environment(engine: str) -> dict[str, str]:
    """Return what an engine's process starts with; lmc's is what `lmc run` gives its workers."""
    from lmc.runtime.training.environment import environment as of_workers

    return {
        **os.environ,
        **(of_workers(1) if engine == "lmc" else {}),
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
    }


def measure_vocabulary(vocabulary: str, keys: str, runs: int, budget: float) -> dict[str, Any]:
    """Return what every engine measures on one vocabulary."""
    groups = [keys] if keys == QUICK else [keys.replace(COUNTING, ""), COUNTING]
    found: dict[str, Any] = {}
    for engine in ("lmc", *PEERS):
        if importlib.util.find_spec(engine if engine != "lmc" else "lmc.runtime") is None:
            print(f"{engine} is not installed: left out")
            continue
        parts = [run_engine(engine, vocabulary, group, runs, budget) for group in groups]
        found[engine] = joined(parts, keys)
    return found


def joined(parts: list[dict[str, Any]], keys: str) -> dict[str, Any]:
    """Return the figures of the processes of one engine; what is in two of them is taken from the first."""
    found: dict[str, Any] = {}
    for part in reversed(parts):
        patterns = found.get("patterns", {}) | part.get("patterns", {})
        peaks = found.get("peak_bytes", {}) | part.get("peak_bytes", {})
        found |= part | {"patterns": patterns, "peak_bytes": peaks}
    return found | {"patterns": {key: found["patterns"][key] for key in keys if key in found["patterns"]}}


def written(results: dict[str, Any]) -> str:
    """Return JSON with a line for each summary."""
    text = json.dumps(results, indent=1)
    return re.sub(r"[{\[]([^{}\[\]]*)[}\]]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text) + "\n"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "xgrammar", "llguidance", "outlines_core"):
        if importlib.util.find_spec(name):
            found[name] = importlib.metadata.version(name)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="cl100k, patterns a, e and m, two runs")
    options.add_argument("--runs", type=int, help="5, or 2 if quick")
    options.add_argument("--out", type=Path, help="where to write the figures")
    options.add_argument("--budget", type=float, help=argparse.SUPPRESS)
    options.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    runs = chosen.runs or (2 if chosen.quick else 5)
    if chosen.worker:
        worker(*chosen.worker, runs, chosen.budget)
        return
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}; {', '.join(f'{name} {version}' for name, version in versions().items())}; {runs} runs")
    results: dict[str, Any] = {"machine": machine, "versions": versions(), "runs": runs}
    results["date"] = datetime.date.today().isoformat()
    for vocabulary, variable in VARIABLES.items():
        if chosen.quick and vocabulary != "cl100k":
            continue
        if not os.environ.get(variable):
            print(f"{vocabulary} is left out: {variable} names no .tiktoken file")
            continue
        keys, budget = (QUICK, QUICK_BUDGET) if chosen.quick else (KEYS, BUDGET)
        results[vocabulary] = measure_vocabulary(vocabulary, keys, runs, budget)
        figures = Figures(vocabulary, results[vocabulary])
        if figures.keys:
            print(f"\n== {vocabulary}")
            tables(figures)
            show_bars(figures)
    if chosen.out:
        chosen.out.write_text(written(results))


if __name__ == "__main__":
    main()
