"""Generation: new tokens per CPU-second, prefill included, of lmc, transformers `generate` and litgpt.

    python benchmarks/bench_generate.py [--shape T1] [--batch 16] [--mode greedy] [--engine lmc] [--slow]
                                        [--windows 5] [--peer-python PATH] [--core N]
                                        [--out benchmarks/results/generate.json]

Every engine runs in a process of its own, one thread on one core; windows of the engines alternate. A window repeats
the call until half a CPU-second is spent. A peer that is in neither interpreter is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from generate_engines import ENGINES, MODES, SHAPES, LeftOut

BATCHES = (1, 16, 64)
WINDOW = 0.5
Cell = tuple[str, int, str]
Rates = dict[str, list[float]]


def worker(name: str, shape: str, batch: int, mode: str) -> None:
    """Say what is measured, then answer every line with the rate of one window."""
    os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with torch.inference_mode():
        try:
            generate = ENGINES[name](SHAPES[shape], batch, MODES[mode])
        except LeftOut as why:
            print(json.dumps({"left_out": str(why)}), flush=True)
            return
        said, wanted = generate(), batch * SHAPES[shape].new
        if said != wanted:
            raise ValueError(f"{said} new tokens instead of {wanted}")
        print(json.dumps({"versions": versions(name.split("-")[0])}), flush=True)
        for _ in sys.stdin:
            print(window(generate), flush=True)


def window(generate: Any) -> float:
    """Return the tokens per CPU-second of at least `WINDOW` seconds."""
    tokens, began = 0, time.process_time()
    while (spent := time.process_time() - began) < WINDOW:
        tokens += generate()
    return tokens / spent


def versions(package: str) -> dict[str, str]:
    return {"python": platform.python_version(), "torch": version("torch"), package: version(package)}


class Process:
    """An engine at work on one cell."""

    def __init__(self, python: str, core: int, name: str, cell: Cell) -> None:
        command = [python, __file__, "--worker", name, *map(str, cell)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.running = subprocess.Popen(command, env=environment(name, core), text=True, **pipes)
        self.hello = self._read()

    def measure(self) -> float:
        self.running.stdin.write("\n")
        self.running.stdin.flush()
        rate = self._read()
        if not isinstance(rate, float):
            raise RuntimeError(rate["left_out"])
        return rate

    def _read(self) -> Any:
        line = self.running.stdout.readline()
        if line:
            return json.loads(line)
        self.running.wait()
        self.errors.seek(0)
        error = self.errors.read().strip().splitlines()
        return {"left_out": error[-1] if error else "it stopped"}

    def close(self) -> None:
        self.running.communicate()
        self.errors.close()


def environment(name: str, core: int) -> dict[str, str]:
    """Return what a process starts with; lmc's is what `lmc` gives its workers."""
    own = {}
    if name == "lmc":
        from lmc.runtime.training.environment import environment as of_workers

        own = of_workers(1)
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "BENCH_CORE": str(core)}


def interpreters(peer_python: str) -> dict[str, str]:
    """Return which interpreter runs each engine; the first that has its package."""
    found = {}
    for package in dict.fromkeys(name.split("-")[0] for name in ENGINES):
        script = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
        for python in (sys.executable, peer_python):
            if subprocess.run([python, "-c", script]).returncode == 0:
                found |= {name: python for name in ENGINES if name.split("-")[0] == package}
                break
        else:
            print(f"{package} is not installed: left out")
    return found


def measure(pythons: dict[str, str], core: int, cell: Cell, windows: int) -> tuple[Rates, dict[str, Any]]:
    """Return the rates of every engine in one cell, window by window, and what each said of itself."""
    processes = {name: Process(python, core, name, cell) for name, python in pythons.items()}
    working = {name: process for name, process in processes.items() if "left_out" not in process.hello}
    rates: Rates = {name: [] for name in working}
    for _ in range(windows):
        for name, process in working.items():
            rates[name].append(process.measure())
    for process in processes.values():
        process.close()
    return rates, {name: process.hello for name, process in processes.items()}


def row(cell: Cell, rates: Rates) -> str:
    """Return a line of the table: medians with their spread, and the ratio to the best peer, window by window."""
    shape, batch, mode = cell
    line = f"{shape:4}{batch:4} {mode:15}" + "".join(f"{shown(rates.get(name, [])):>27}" for name in ENGINES)
    peers = {name: statistics.median(found) for name, found in rates.items() if name != "lmc"}
    if not peers or "lmc" not in rates:
        return line
    best = max(peers, key=peers.__getitem__)
    ratios = [mine / theirs for mine, theirs in zip(rates["lmc"], rates[best], strict=True)]
    return f"{line}   {statistics.median(ratios):.2f}x ({min(ratios):.2f}..{max(ratios):.2f}) {best}"


def shown(found: Sequence[float]) -> str:
    if not found:
        return "-"
    digits = 0 if min(found) >= 100 else 1
    median, least, most = (f"{value:,.{digits}f}" for value in (statistics.median(found), min(found), max(found)))
    return f"{median} ({least}..{most})"


def cells(options: argparse.Namespace) -> list[Cell]:
    """Return what to measure; a batch of one has one length, and the largest batch of T3 takes an hour."""
    return [
        (shape, batch, mode)
        for shape in options.shape or SHAPES
        for batch in options.batch or BATCHES
        for mode in options.mode or MODES
        if not (batch == 1 and MODES[mode].ragged) and (options.slow or shape != "T3" or batch < max(BATCHES))
    ]


def keep(path: Path, seen: dict[str, Any], figures: dict[str, Rates]) -> None:
    """Merge figures into a file; cells and engines that were not measured stay."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    merged = kept.get("figures", {})
    for cell, rates in figures.items():
        merged[cell] = merged.get(cell, {}) | {
            name: [round(rate, 1) for rate in found] for name, found in rates.items()
        }
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "unit": "new tokens per CPU-second"}
    result = {**machine, "versions": kept.get("versions", {}) | seen, "figures": merged}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--slow", action="store_true", help="also the largest batch of T3")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has the peers")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--out", type=Path, help="a JSON file to merge the figures into")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, shape, batch, mode = options.worker
        worker(name, shape, int(batch), mode)
        return
    pythons = {n: p for n, p in interpreters(options.peer_python).items() if n in (options.engine or ENGINES)}
    print(f"{platform.machine()}, one thread on core {options.core}, median (least..most) of {options.windows} windows")
    print(f"{'cell':24}" + "".join(f"{name:>27}" for name in ENGINES) + "   lmc to the best peer")
    seen: dict[str, Any] = {}
    missing: dict[str, None] = {}
    for cell in cells(options):
        rates, hellos = measure(pythons, options.core, cell, options.windows)
        print(row(cell, rates), flush=True)
        seen |= {name: hello["versions"] for name, hello in hellos.items() if name in rates}
        missing |= {f"{name}: {hello['left_out']}": None for name, hello in hellos.items() if name not in rates}
        if options.out:
            keep(options.out, seen, {" ".join(map(str, cell)): rates})
    for line in missing:
        print(f"- is left out: {line}")
    for name, found in seen.items():
        print(f"{name}: " + ", ".join(f"{package} {number}" for package, number in found.items()))


if __name__ == "__main__":
    main()
