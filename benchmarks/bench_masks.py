"""Attention under document masks on CPU: milliseconds per way, forward and forward with backward, float32, one thread.

    python benchmarks/bench_masks.py [--out FILE] [--seconds 1]

additive, boolean: one dense mask of the row; rows: each document in a row of its own; causal: no documents at all, for
comparison. Documents are equally long (`even`) or drawn so that the longest are many times the shortest (`skewed`).
The ways take turns in one process; times are its CPU time, so that neighbours disturb less. `chosen` is what `lower`
takes, and the milliseconds of taking documents apart and of choosing; `fit` are the constants of
`runtime/models/attend.py` that these times ask for.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from lmc.runtime.models.attend import attend, lower, rows_of
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.lowered import Additive, Flags, Lowered, Shape
from lmc.runtime.models.masks import Causal, Document
from lmc.runtime.models.spans import Spans

SLOTS, HEADS, HEAD_SIZE = 2048, 4, 32
WIDTHS, DOCUMENTS = (256, 512, 1024, 2048), (1, 4, 16, 64)


@frozen(eq=False)
class Boolean(Lowered):
    visible: Tensor

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.visible)


def cut(width: int, documents: int, skewed: bool, rng: random.Random) -> list[int]:
    """Return lengths of documents that fill a row."""
    shares = [rng.paretovariate(1) if skewed else 1.0 for _ in range(documents)]
    ends = [round((width - documents) * sum(shares[: i + 1]) / sum(shares)) for i in range(documents)]
    return [1 + end - start for start, end in pairwise([0, *ends])]


def turns(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the median CPU milliseconds of functions that take turns."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(taken[next(iter(taken))]) < 5:
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken[name].append(1e3 * (time.process_time() - start))
    return {name: round(statistics.median(times), 3) for name, times in taken.items()}


def step(leaves: list[Tensor], lowered: Lowered, train: bool) -> None:
    if train:
        out = attend(*(x.transpose(1, 2) for x in leaves), lowered)
        torch.autograd.grad(out, leaves, out.detach())
    else:
        with torch.inference_mode():
            attend(*(x.transpose(1, 2) for x in leaves), lowered)


def measure(width: int, documents: int, skewed: bool, seconds: float) -> dict[str, Any]:
    rows, rng = SLOTS // width, random.Random(5)
    lengths = [cut(width, documents, skewed, rng) for _ in range(rows)]
    ids = SequenceLayout.pack(lengths, width).documents
    shape, mask = Shape(rows, width, width, torch.float32, torch.device("cpu")), Causal() & Document(ids)
    spans = Spans.of(ids)
    assert spans is not None
    apart = rows_of(spans, Causal(), shape)
    ways: dict[str, Lowered] = {
        "additive": Additive.of(mask, shape),
        "boolean": Boolean(mask.dense(rows, width, width, None, shape.device)[:, None]),
        "rows": apart,
        "causal": Flags(causal=True),
    }
    leaves = [torch.randn(rows, width, HEADS, HEAD_SIZE, requires_grad=True) for _ in range(3)]
    found: dict[str, Any] = {"width": width, "documents": documents, "skewed": skewed}
    for name, train in (("forward", False), ("both", True)):
        found[name] = turns({way: partial(step, leaves, ways[way], train) for way in ways}, seconds)
    found["lower"] = type(lower(mask, shape)).__name__
    found["lowering_ms"] = turns(
        {"rows": lambda: rows_of(spans, Causal(), shape), "all": lambda: lower(mask, shape)}, 0.1
    )
    found["pairs"] = [SLOTS * width, sum(n * w**2 for n, w in apart.groups.sizes)]
    return found


def fit(results: list[dict[str, Any]], which: str) -> dict[str, float]:
    """Fit rows / additive = (pair * pairs apart + slot * slots) / pairs by least squares."""
    left = np.array([[r["pairs"][1] / r["pairs"][0], 1 / r["width"]] for r in results])
    right = np.array([r[which]["rows"] / r[which]["additive"] for r in results])
    pair, slot = np.linalg.lstsq(left, right, rcond=None)[0]
    return {"pair": round(float(pair), 2), "slot": round(float(slot), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, {SLOTS} slots, {HEADS} heads of {HEAD_SIZE}, 1 thread")
    print(
        "width documents lengths | forward: additive boolean rows causal | both: additive boolean rows causal | chosen"
    )
    results = []
    for skewed in (False, True):
        for width in WIDTHS:
            for documents in DOCUMENTS if not skewed else DOCUMENTS[1:]:
                found = measure(width, documents, skewed, options.seconds)
                results.append(found)
                times = " | ".join(
                    " ".join(f"{ms:8.2f}" for ms in found[name].values()) for name in ("forward", "both")
                )
                lengths = "skewed" if skewed else "even  "
                print(
                    f"{width:5} {documents:4} {lengths} | {times} | {found['lower']} {found['lowering_ms']}", flush=True
                )
    fits = {which: fit(results, which) for which in ("forward", "both")}
    print("fit", fits)
    if options.out:
        record = {"machine": platform.machine(), "torch": torch.__version__, "fit": fits, "results": results}
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
