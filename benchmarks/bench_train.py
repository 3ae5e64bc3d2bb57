"""Training at the shape of the in-tool study (width 64, 2 layers, 2 heads, batch 128) against a padded loop.

    python benchmarks/bench_train.py [--repeat N] [--steps N] [--json FILE]

Both sides train the same transformer on the same dialogues, each in a process of its own, on one thread. The padded
loop pads every row to 257 tokens, computes all logits and masks the loss, as small research codebases do.
Unit: loss-carrying tokens per CPU-second.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
SEQ_LEN, BATCH = 257, 128


def setup(glob: str):
    import torch

    from lmc.runtime.data.dataset import build_dataset
    from lmc.runtime.stores.open import make_store
    from lmc.runtime.tokenizers.build import build_tokenizer
    from lmc.spec.data import Dialogues
    from lmc.spec.model import Attention, SwiGLU, Transformer
    from lmc.spec.store import People, Sqlite
    from lmc.spec.tokenizer import ByteTokenizer
    from lmc.spec.units import FilePath, Glob

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    folder = Path(tempfile.mkdtemp())
    store = make_store(Sqlite(file=FilePath("people.db"), tables={"people": People()}), folder, folder)
    tokenizer = build_tokenizer(ByteTokenizer(specials=("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")))
    spec = Dialogues(tokenizer="t", rows="s/people", count=1000, templates=Glob(f"templates/{glob}"), seq_len=SEQ_LEN)
    model = Transformer(
        vocab=260, layers=2, width=64, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=256), tokenizer="t"
    )
    return build_dataset(spec, tokenizer, EXAMPLES, store), model


def ours(glob: str, steps: int) -> float:
    """Return loss-carrying tokens per CPU-second of lmc's own step."""
    import torch

    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.runtime.training.loss import batch_loss
    from lmc.runtime.training.optimizer import adamw, gradient_norm
    from lmc.runtime.training.step import step_batches
    from lmc.spec.train import AdamW, Train

    dataset, spec = setup(glob)
    model = build_model(spec, Placement(torch.device("cpu")), 0)
    train = Train(model="m", data="d", steps=steps, batch=BATCH)
    optimizer = adamw(AdamW(), model)
    tokens = 0
    for step in range(steps + 2):
        if step == 2:
            tokens, began = 0, time.process_time()
        batches = step_batches(dataset, train, step, None)
        for batch in batches:
            batch_loss(model, batch).backward()
        gradient_norm(model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batches[0].n_loss)
    return tokens / (time.process_time() - began)


def padded(glob: str, steps: int) -> float:
    """Return loss-carrying tokens per CPU-second of a loop that pads all rows to the longest allowed."""
    import torch
    import torch.nn.functional as F

    from lmc.runtime.data.order import draws
    from lmc.runtime.models.build import build_model
    from lmc.runtime.models.layout import SequenceLayout
    from lmc.runtime.placement import Placement

    dataset, spec = setup(glob)
    model = build_model(spec, Placement(torch.device("cpu")), 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    size = dataset.size("train")
    layout = SequenceLayout.rows([SEQ_LEN - 1] * BATCH)
    tokens = 0
    for step in range(steps + 2):
        if step == 2:
            tokens, began = 0, time.process_time()
        rows = torch.zeros(BATCH, SEQ_LEN, dtype=torch.int64)
        mask = torch.zeros(BATCH, SEQ_LEN - 1)
        for row, draw in enumerate(draws("shuffle", 0, step * BATCH, BATCH, size)):
            example = dataset.example("train", draw)
            rows[row, : len(example.tokens)] = torch.from_numpy(example.tokens)
            mask[row, : len(example.tokens) - 1] = torch.from_numpy(example.trained[:-1])
        logits = model(rows[:, :-1], layout)
        losses = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        ((losses * mask.flatten()).sum() / mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(mask.sum())
    return tokens / (time.process_time() - began)


def measure(side: str, glob: str, steps: int) -> float:
    from lmc.runtime.training.environment import environment

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if side == "ours":
        env |= environment(1) | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--side", side, "--glob", glob, "--steps", str(steps)]
    return float(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--json", type=Path)
    options.add_argument("--side", choices=("ours", "padded"), help=argparse.SUPPRESS)
    options.add_argument("--glob", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.side:
        print({"ours": ours, "padded": padded}[chosen.side](chosen.glob, chosen.steps))
        return
    import torch

    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, {chosen.repeat} pairs")
    results = {}
    for title, glob in (("in-weight", "qa[0-9].txt"), ("in-tool", "qatool*.txt")):
        sides = ("ours", "padded")
        pairs = [tuple(measure(side, glob, chosen.steps) for side in sides) for _ in range(chosen.repeat)]
        ratios = [a / b for a, b in pairs]
        results[title] = {"ours": [a for a, _ in pairs], "padded": [b for _, b in pairs]}
        mine, other = (statistics.median(values) for values in zip(*pairs, strict=True))
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        ratio = statistics.median(ratios)
        print(f"{title:<10} lmc {mine:>8,.0f}   padded {other:>8,.0f}   ratio {ratio:.2f} {spread}")
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"torch": torch.__version__, "tokens_per_cpu_second": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
