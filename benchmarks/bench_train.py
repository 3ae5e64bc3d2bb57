"""Training on dialogues at the shape of the in-tool study (T1): lmc against a padded loop over transformers.

    python benchmarks/bench_train.py [--windows 5] [--peer-python PATH] [--core N] [--out FILE]

The peer pads every dialogue to 257 tokens and masks the loss, as small research codebases do, eager and compiled; lmc
trains as a long run does, with micro-batches and compiling as it measures them. Every engine runs in a process of its
own, in its default environment, one thread on one core; windows of the engines alternate. Unit: loss-carrying tokens
per CPU-second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from train_engines import SHAPES, padded_transformers, stepper_of

EXAMPLES = Path(__file__).parent.parent / "examples"
SEQ_LEN, STEPS, WINDOW = 257, 16, 1.5
KINDS = {"in-weight": "qa[0-9].txt", "in-tool": "qatool*.txt"}
ENGINES = ("lmc", "transformers", "transformers compiled")


def dialogues(kind: str) -> tuple[Any, Any]:
    """Return the data set and the model's spec."""
    from lmc.runtime.data.dataset import build_dataset
    from lmc.runtime.stores.open import make_store
    from lmc.runtime.tokenizers.build import build_tokenizer
    from lmc.spec.data import Dialogues
    from lmc.spec.model import Attention, SwiGLU, Transformer
    from lmc.spec.store import People, Sqlite
    from lmc.spec.tokenizer import ByteTokenizer
    from lmc.spec.units import FilePath, Glob

    folder = Path(tempfile.mkdtemp())
    store = make_store(Sqlite(file=FilePath("people.db"), tables={"people": People()}), folder, folder)
    tokenizer = build_tokenizer(ByteTokenizer(specials=("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")))
    templates = Glob(f"templates/{KINDS[kind]}")
    spec = Dialogues(tokenizer="t", rows="s/people", count=1000, templates=templates, seq_len=SEQ_LEN)
    model = Transformer(
        vocab=260, layers=2, width=64, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=256), tokenizer="t"
    )
    return build_dataset(spec, tokenizer, EXAMPLES, store), model


def write_padded(kind: str, path: Path) -> None:
    """Write the dialogues of the first steps, padded, for the peer to read."""
    import numpy as np

    from lmc.runtime.data.order import draws

    dataset, _ = dialogues(kind)
    batch = SHAPES["T1"].batch
    found = [dataset.example("train", draw) for draw in draws("shuffle", 0, 0, STEPS * batch, dataset.size("train"))]
    tokens = np.zeros((len(found), SEQ_LEN), dtype=np.int64)
    labels = np.full((len(found), SEQ_LEN), -100, dtype=np.int64)
    for row, example in enumerate(found):
        length = len(example.tokens)
        tokens[row, :length] = example.tokens
        labels[row, 1:length] = np.where(example.trained[:-1], example.tokens[1:], -100)
    np.savez(path, tokens=tokens, labels=labels)


def step_of(engine: str, kind: str, path: str) -> Any:
    """Return a function that does one step and tells how many tokens carried loss."""
    if engine != "lmc":
        return padded_transformers(SHAPES["T1"], path, engine.endswith("compiled"))
    dataset, model = dialogues(kind)
    stepper = stepper_of(model, dataset, SHAPES["T1"].batch, "fp32", None)
    chosen = stepper.execution
    print(f"micro-batch {chosen.micro_batch}{', compiled' if chosen.compile else ''}", file=sys.stderr)

    def step() -> int:
        before = stepper.progress.loss_tokens
        stepper.step()
        return int(stepper.progress.loss_tokens - before)

    return step


def worker(engine: str, kind: str, path: str) -> None:
    """Say how long it took until the first step was done, then answer every line with the rate of one window."""
    os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began = time.monotonic()
    step = step_of(engine, kind, path)
    step()
    print(time.monotonic() - began, flush=True)
    for _ in sys.stdin:
        tokens, began = 0, time.process_time()
        while (spent := time.process_time() - began) < WINDOW:
            tokens += step()
        print(tokens / spent, flush=True)


def start(engine: str, kind: str, path: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    own, python = {}, options.peer_python
    if engine == "lmc":
        from lmc.runtime.training.environment import environment

        own, python = environment(1), sys.executable
    env = {**os.environ, **own, "OMP_NUM_THREADS": "1", "BENCH_CORE": str(options.core)}
    command = [python, __file__, "--worker", engine, kind, str(path)]
    return subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def measure(kind: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Print a line per engine and the ratios; return the rates."""
    path = Path(tempfile.mkdtemp()) / "padded.npz"
    write_padded(kind, path)
    running = {engine: start(engine, kind, path, options) for engine in ENGINES}
    first = {engine: float(process.stdout.readline()) for engine, process in running.items()}
    rates: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(options.windows):
        for engine, process in running.items():
            process.stdin.write("\n")
            process.stdin.flush()
            rates[engine].append(float(process.stdout.readline()))
    for engine, process in running.items():
        process.communicate()
        found = rates[engine]
        spread = f"({min(found):,.0f}..{max(found):,.0f})"
        print(f"{kind:9} {engine:22} {statistics.median(found):>8,.0f} {spread:18} first {first[engine]:.1f} s")
    for peer in ENGINES[1:]:
        ratios = [a / b for a, b in zip(rates["lmc"], rates[peer], strict=True)]
        spread = f"({min(ratios):.2f}..{max(ratios):.2f})"
        print(f"{kind:9} lmc over {peer}: {statistics.median(ratios):.2f}x {spread}", flush=True)
    return rates


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {kind: measure(kind, options) for kind in KINDS}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
