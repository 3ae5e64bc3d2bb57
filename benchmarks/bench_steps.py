"""Training steps: processed tokens per CPU-second of lmc, transformers and litgpt, plain and compiled.

    python benchmarks/bench_steps.py [--shape T1 T2 T3] [--dtype fp32 bf16] [--windows 5] [--peer-python PATH]
                                     [--core N] [--threads N] [--plain] [--out FILE]

Every engine runs in a process of its own, one thread on one core; windows of the engines alternate. With more threads
every core is used, and rates are per second of wall time. `first` is the time of the first step, in which a compiler
works; MFU is what the model needs over the best rate of a matrix product in the same precision and threads.
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
    threads, clock = pin(), time.process_time
    if threads > 1:
        clock = time.monotonic
    warnings.simplefilter("ignore")
    began = time.monotonic()
    step = ENGINES[name](SHAPES[shape], dtype, compiled)
    step()
    print(time.monotonic() - began, flush=True)
    step()
    for _ in sys.stdin:
        tokens, began = 0, clock()
        while (spent := clock() - began) < WINDOW:
            tokens += step()
        print(tokens / spent, flush=True)


def pin() -> int:
    """Bind this process to its core, or to none with several threads; return the threads."""
    threads = int(os.environ["BENCH_THREADS"])
    if threads == 1:
        os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
    import torch

    torch.set_num_threads(threads)
    return threads


def peak(dtype: str) -> None:
    """Print the best rate of a matrix product, in FLOP/s, measured now."""
    pin()
    import tempfile

    import torch

    from lmc.runtime.training.machine import matmul_limit

    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    print(matmul_limit(torch.device("cpu"), torch.float32 if dtype == "fp32" else torch.bfloat16))


def start(name: str, compiled: bool, shape: str, dtype: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    own, python = {}, options.peer_python
    if name == "lmc":
        from lmc.runtime.training.environment import environment

        own, python = environment(options.threads), sys.executable
    env = surroundings(options) | own | {"OMP_NUM_THREADS": str(options.threads)}
    command = [python, __file__, "--worker", name, shape, dtype, str(int(compiled))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=env, text=True, **pipes)


def surroundings(options: argparse.Namespace) -> dict[str, str]:
    return {**os.environ, "BENCH_CORE": str(options.core), "BENCH_THREADS": str(options.threads)}


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
    command = [sys.executable, __file__, "--peak", dtype]
    limit = float(subprocess.run(command, env=surroundings(options), check=True, capture_output=True).stdout)
    print(f"{shape} {dtype} matrix product: {limit / 1e9:,.0f} GFLOP/s, {options.threads} thread(s)")
    for label, one in found.items():
        rate = statistics.median(one["rates"])
        mfu = 100 * rate * SHAPES[shape].flops / limit
        spread = f"({min(one['rates']):,.0f}..{max(one['rates']):,.0f})"
        print(f"{shape} {dtype} {label:22} {rate:>9,.0f} {spread:22} MFU {mfu:3.0f} %  first {one['first']:.1f} s")
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
    if sys.argv[1:2] == ["--peak"]:
        peak(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", default=["T1"], choices=SHAPES)
    parser.add_argument("--dtype", nargs="+", default=["fp32"], choices=("fp32", "bf16"))
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="nothing compiled")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {f"{s} {d}": measure(s, d, options) for s in options.shape for d in options.dtype}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
