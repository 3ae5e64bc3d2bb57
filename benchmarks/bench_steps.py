"""Training steps: processed tokens per CPU-second of lmc, transformers and litgpt, plain and compiled.

    python benchmarks/bench_steps.py [--shape T1 T2 T3] [--dtype fp32 bf16] [--windows 5] [--peer-python PATH]
                                     [--core N] [--plain] [--out FILE]

Every engine runs in a process of its own, one thread on one core; windows of the engines alternate. `first` is the time
of the first step, in which a compiler works; `GFLOP/s` counts what the model needs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from train_engines import ENGINES, SHAPES

WINDOW = 1.5
NAMES = [(name, compiled) for compiled in (False, True) for name in ENGINES]


def worker(name: str, shape: str, dtype: str, compiled: bool) -> None:
    """Say how long making the engine and its first step took, then answer every line with the rate of one window."""
    os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began = time.monotonic()
    step = ENGINES[name](SHAPES[shape], dtype, compiled)
    step()
    print(time.monotonic() - began, flush=True)
    step()
    for _ in sys.stdin:
        tokens, began = 0, time.process_time()
        while (spent := time.process_time() - began) < WINDOW:
            tokens += step()
        print(tokens / spent, flush=True)


def start(name: str, compiled: bool, shape: str, dtype: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    own, python = {}, options.peer_python
    if name == "lmc":
        from lmc.runtime.training.environment import environment

        own, python = environment(1), sys.executable
    env = {**os.environ, **own, "OMP_NUM_THREADS": "1", "BENCH_CORE": str(options.core)}
    command = [python, __file__, "--worker", name, shape, dtype, str(int(compiled))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=env, text=True, **pipes)


def measure(shape: str, dtype: str, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Print a line per engine and return what was measured; one that did not start is left out."""
    found: dict[str, dict[str, object]] = {}
    running = {}
    for name, compiled in NAMES[: len(ENGINES)] if options.plain else NAMES:
        process = start(name, compiled, shape, dtype, options)
        first = process.stdout.readline()
        label = f"{name}{' compiled' if compiled else ''}"
        if first:
            running[label] = process
            found[label] = {"first": float(first), "rates": []}
        else:
            print(f"{shape} {dtype} {label}: left out, it does not start")
    for _ in range(options.windows):
        for label, process in running.items():
            process.stdin.write("\n")
            process.stdin.flush()
            found[label]["rates"].append(float(process.stdout.readline()))
    for process in running.values():
        process.communicate()
    for label, one in found.items():
        rate = statistics.median(one["rates"])
        speed = rate * SHAPES[shape].flops / 1e9
        spread = f"({min(one['rates']):,.0f}..{max(one['rates']):,.0f})"
        print(f"{shape} {dtype} {label:22} {rate:>9,.0f} {spread:22} {speed:4.0f} GFLOP/s  first {one['first']:.1f} s")
    for mine in ("lmc", "lmc compiled"):
        for kind in ("", " compiled"):
            peers = [p for p in found if not p.startswith("lmc") and p.endswith(" compiled") == bool(kind)]
            if mine not in found or not peers:
                continue
            best = max(peers, key=lambda peer: statistics.median(found[peer]["rates"]))
            ratios = [a / b for a, b in zip(found[mine]["rates"], found[best]["rates"], strict=True)]
            spread = f"({min(ratios):.2f}..{max(ratios):.2f})"
            print(f"{shape} {dtype} {mine} over {best}: {statistics.median(ratios):.2f}x {spread}", flush=True)
    return found


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        name, shape, dtype, compiled = sys.argv[2:]
        worker(name, shape, dtype, compiled == "1")
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", default=["T1"], choices=SHAPES)
    parser.add_argument("--dtype", nargs="+", default=["fp32"], choices=("fp32", "bf16"))
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--plain", action="store_true", help="nothing compiled")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {f"{s} {d}": measure(s, d, options) for s in options.shape for d in options.dtype}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
