"""Sampling: microseconds per call of lmc beside transformers' processors, temperature 0.8 and top-p 0.9, float32.

    python benchmarks/bench_sampling.py [--out FILE] [--seconds 2]

Theirs is `LogitsProcessorList` (temperature, top-p), softmax and multinomial; ours is adjust and sample. Both take
turns in one process on one thread. Logits are normal with standard deviation 1 (`flat`) and 3 (`peaked`).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from lmc.runtime.generation.sampling import Samplers, Sampling

SHAPES = ((260, 1), (260, 16), (260, 64), (49_152, 1), (49_152, 16))
SPREADS = {"flat": 1.0, "peaked": 3.0}
SETTINGS = {"top-p": Sampling(0.8, top_p=0.9), "plain": Sampling(0.8), "greedy": Sampling()}


def ours(settings: Sampling, logits: torch.Tensor) -> Callable[[], torch.Tensor]:
    rows, num_ids = logits.shape
    samplers = Samplers(rows, num_ids, logits.device)
    for row in range(rows):
        samplers.put(row, settings, [0] * 8)
    lengths = torch.full((rows,), 9)
    return lambda: samplers.sample(samplers.adjust(logits), lengths)


def theirs(settings: Sampling, logits: torch.Tensor) -> Callable[[], torch.Tensor]:
    if settings.temperature == 0:
        return lambda: logits.argmax(dim=-1)
    processors = LogitsProcessorList([TemperatureLogitsWarper(settings.temperature)])
    if settings.top_p is not None:
        processors.append(TopPLogitsWarper(settings.top_p))
    tokens = torch.zeros(len(logits), 1, dtype=torch.int64)
    return lambda: processors(tokens, logits).softmax(dim=-1).multinomial(1)


def paired(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Return microseconds per call of rounds in which the functions take turns, sorted."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for name, function in functions.items():
            calls, start = 0, time.perf_counter()
            while time.perf_counter() - start < 2e-3:
                function()
                calls += 1
            taken[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: sorted(found) for name, found in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=2.0, help="per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    print(f"{'':24}{'vocab':>8}{'batch':>6}{'lmc':>10}{'transformers':>14}{'ratio':>8}   us per call, median (10-90 %)")
    for setting, sampling in SETTINGS.items():
        for spread, deviation in SPREADS.items():
            for num_ids, rows in SHAPES:
                logits = torch.randn(rows, num_ids, generator=torch.Generator().manual_seed(0)) * deviation
                with torch.inference_mode():
                    pair = {"lmc": ours(sampling, logits), "transformers": theirs(sampling, logits)}
                    found = paired(pair, options.seconds)
                line = {}
                for name, times in found.items():
                    low, *_, high = statistics.quantiles(times, n=10)
                    line[name] = {"median": statistics.median(times), "low": low, "high": high}
                figures[f"{setting} {spread} {num_ids} {rows}"] = line
                mine, other = line["lmc"], line["transformers"]
                print(
                    f"{setting + ' ' + spread:24}{num_ids:8,}{rows:6}{mine['median']:10,.0f}{other['median']:14,.0f}"
                    f"{other['median'] / mine['median']:8.1f}   ({mine['low']:,.0f}-{mine['high']:,.0f}; "
                    f"{other['low']:,.0f}-{other['high']:,.0f})"
                )
    if options.out:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": version("torch")}
        machine["transformers"] = version("transformers")
        options.out.write_text(json.dumps({**machine, "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
