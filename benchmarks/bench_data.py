"""Data: tokenising once, mapping what was tokenised, and what a step's micro-batches cost.

    python benchmarks/bench_data.py [--mb N] [--repeat N] [--json FILE]

Tokenising is compared with `tokenizer.encode` of the whole text (what every start would cost without the cache), the
gather with examples of separate arrays collated one row at a time. CPU time of this process, one thread; medians and
quartiles of repeats that alternate.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SEQ_LEN, BATCH = 257, 128
WORDS = "the of and to in is that it was for on are as with his they at be this from have or by one"


def timed(action):
    began = time.process_time()
    value = action()
    return time.process_time() - began, value


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": middle, "quartiles": [low, high]}


def text_of(size):
    rng = np.random.default_rng(0)
    words, lines, held = np.array(WORDS.split()), [], 0
    while held < size:
        line = " ".join(rng.choice(words, 12)).capitalize() + f" {rng.integers(0, 9999)}.\n"
        lines.append(line)
        held += len(line)
    return "".join(lines)


def tokenising(size, repeat):
    from lmc.runtime.data import token_cache
    from lmc.runtime.data.documents import documents_of
    from lmc.runtime.tokenizers.build import build_tokenizer
    from lmc.runtime.tokenizers.splits import SPLIT_PATTERNS, split
    from lmc.runtime.tokenizers.tiktoken_bpe import TiktokenBpe, encoding_of
    from lmc.runtime.tokenizers.train_bpe import train_bpe
    from lmc.spec.tokenizer import ByteTokenizer

    token_cache.SMALL = 0
    text = text_of(size)
    pattern = SPLIT_PATTERNS["cl100k"]
    tokenizers = {
        "byte": build_tokenizer(ByteTokenizer()),
        "bpe": TiktokenBpe(encoding_of(train_bpe(split(pattern, text[: 1 << 18]), 2000), pattern), ()),
    }
    found = {}
    for name, tokenizer in tokenizers.items():
        runs = {"encode": [], "once": [], "mapped": []}
        for _ in range(repeat):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LMC_CACHE"] = folder
                path = Path(folder) / "a.txt"
                path.write_text(text, encoding="utf-8")
                documents = documents_of(path.name, path.parent)
                seconds, ids = timed(lambda t=tokenizer: np.array(t.encode(text), dtype=np.int32))
                runs["encode"].append(len(ids) / seconds)
                for kind in ("once", "mapped"):
                    seconds, tokens = timed(lambda t=tokenizer, d=documents: token_cache.tokens_of(d, t, None))
                    runs[kind].append(len(ids) / seconds)
                assert np.array_equal(tokens.ids, ids)
        found[name] = {"tokens": len(ids), **{kind: spread(values) for kind, values in runs.items()}}
    return found


def rows_one_by_one(examples, batch):
    """Collate as it was before: a padded row, an index and a layout at a time."""
    import torch

    from lmc.runtime.models.layout import SequenceLayout

    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].tokens), i))
    n_loss = float(sum(int(example.trained.sum()) for example in examples))
    made = []
    for group in batch._groups(order, [len(e.tokens) for e in examples]):
        chosen = [examples[i] for i in group]
        lengths = [len(example.tokens) for example in chosen]
        tokens = np.zeros((len(chosen), max(lengths)), dtype=np.int64)
        index, targets = [], []
        for row, example in enumerate(chosen):
            tokens[row, : lengths[row]] = example.tokens
            at = np.flatnonzero(example.trained[:-1])
            index.append(row * max(lengths) + at)
            targets.append(example.tokens[at + 1])
        flat = torch.from_numpy(np.concatenate(index))
        layout = SequenceLayout.rows(lengths, max(lengths))
        goal = torch.from_numpy(np.concatenate(targets).astype(np.int64))
        made.append(batch.Batch(torch.from_numpy(tokens), layout, flat, goal, torch.ones(len(flat)), n_loss))
    return made


def gathering(repeat):
    from lmc.runtime.data import batch
    from lmc.runtime.data.examples import Examples
    from lmc.runtime.data.order import draws

    rng = np.random.default_rng(0)
    lengths = rng.integers(158, 240, 4000)
    made = []
    for length in lengths:
        trained = rng.random(length) < 0.7
        trained[-1] = False
        made.append(batch.Example(rng.integers(0, 260, length).astype(np.int32), trained))
    flat = Examples.of(made)
    times = {"draw": [], "separate": [], "flat": []}
    for number in range(repeat):
        seconds, chosen = timed(lambda n=number: list(draws("shuffle", 1, n * BATCH, BATCH, len(made))))
        times["draw"].append(seconds * 1e6)
        for kind, examples, collate in (
            ("separate", made, lambda e: rows_one_by_one(e, batch)),
            ("flat", flat, batch.collate),
        ):
            seconds, batches = timed(lambda e=examples, c=collate, d=chosen: c([e[draw.index] for draw in d]))
            times[kind].append(seconds * 1e6)
        tokens = int(sum(int(b.layout.lengths.sum()) for b in batches))
    return {"tokens_a_step": tokens, **{kind: spread(values) for kind, values in times.items()}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=float, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    found = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}",
        "tokenising, tokens per CPU-second": tokenising(int(args.mb * 1e6), args.repeat),
        f"a step of {BATCH} dialogues, CPU us": gathering(20 * args.repeat),
    }
    print(found["machine"], found["versions"], sep="; ")
    for name, values in found["tokenising, tokens per CPU-second"].items():
        print(f"{name:<5} {values['tokens']:,} tokens of {args.mb:g} MB, million tokens per CPU-second")
        for kind in ("encode", "once", "mapped"):
            low, high = values[kind]["quartiles"]
            print(f"  {kind:<9} {values[kind]['median'] / 1e6:9.2f}  ({low / 1e6:.2f} to {high / 1e6:.2f})")
    values = found[f"a step of {BATCH} dialogues, CPU us"]
    print(f"a step of {BATCH} dialogues, {values['tokens_a_step']:,} tokens, CPU us")
    for kind in ("draw", "separate", "flat"):
        low, high = values[kind]["quartiles"]
        print(f"  {kind:<9} {values[kind]['median']:9.0f}  ({low:.0f} to {high:.0f})")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
