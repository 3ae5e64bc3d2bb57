"""Greedy generation: tokens per CPU-second of lmc beside transformers' `generate`, each in a process of its own.

    python benchmarks/bench_generate.py [--out FILE] [--runs 5]

Both have random weights of one shape, prompts of 64 tokens and 128 new ones, prefill included, one thread.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROMPT, NEW = 64, 128
SHAPES = {
    "T1": {"vocab": 260, "width": 64, "layers": 2, "heads": 2, "hidden": 256},
    "T2": {"vocab": 256, "width": 384, "layers": 6, "heads": 6, "hidden": 1024},
}
BATCHES = (1, 16, 64)
ENGINES = ("lmc", "transformers")


def lmc(shape: dict[str, int], batch: int) -> Callable[[], object]:
    import torch

    from lmc.runtime.generation.engine import Engine, Request
    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.runtime.tokenizers.byte import Bytes
    from lmc.spec.model import Attention, SwiGLU, Transformer

    spec = Transformer(
        vocab=shape["vocab"],
        layers=shape["layers"],
        width=shape["width"],
        mixer=Attention(heads=shape["heads"], kv_heads=shape["heads"]),
        mlp=SwiGLU(hidden=shape["hidden"]),
    )
    engine = Engine(build_model(spec, Placement(torch.device("cpu")), 0), Bytes(()))
    requests = [Request(tuple(row), NEW) for row in prompts(batch)]
    return lambda: engine.run(requests)


def transformers(shape: dict[str, int], batch: int) -> Callable[[], object]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape["vocab"],
        hidden_size=shape["width"],
        intermediate_size=shape["hidden"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    tokens = torch.tensor(prompts(batch))
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "use_cache": True}
    return lambda: model.generate(tokens, attention_mask=torch.ones_like(tokens), **settings)


def prompts(batch: int) -> list[list[int]]:
    """Return the same random prompts for every engine."""
    import numpy as np

    return np.random.default_rng(0).integers(1, 250, (batch, PROMPT)).tolist()


def worker(engine: str, shape: str, batch: int, runs: int) -> None:
    """Print the tokens per CPU-second of each run."""
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        generate = {"lmc": lmc, "transformers": transformers}[engine](SHAPES[shape], batch)
        generate()
        rates = []
        for _ in range(runs):
            began = time.process_time()
            generate()
            rates.append(batch * NEW / (time.process_time() - began))
    print(json.dumps(rates))


def measure(engine: str, shape: str, batch: int, runs: int) -> list[float]:
    command = [sys.executable, __file__, "--worker", engine, shape, str(batch), "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{engine} {shape} {batch}: left out, {done.stderr.strip().splitlines()[-1]}")
        return []
    return sorted(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="where to write the figures")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        engine, shape, batch = options.worker
        worker(engine, shape, int(batch), options.runs)
        return
    figures: dict[str, dict[str, list[float]]] = {}
    print(f"{'shape':8}{'batch':>6}{'lmc':>10}{'transformers':>14}{'ratio':>8}   tokens per CPU-second, median")
    for shape in SHAPES:
        for batch in BATCHES:
            found = {engine: measure(engine, shape, batch, options.runs) for engine in ENGINES}
            figures[f"{shape} {batch}"] = found
            ours, theirs = (statistics.median(found[engine]) if found[engine] else float("nan") for engine in ENGINES)
            print(f"{shape:8}{batch:6}{ours:10,.0f}{theirs:14,.0f}{ours / theirs:8.2f}")
    if options.out:
        from importlib.metadata import version

        machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": version("torch")}
        options.out.write_text(json.dumps({**machine, "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
