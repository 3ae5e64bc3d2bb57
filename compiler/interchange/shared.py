"""What configurations of several codebases say in the same way: optimiser, schedule, batch, checkpoints."""

from __future__ import annotations

from decimal import Decimal

from .config import Config
from .draft import Block, decimal, number, quoted

PER_DEVICE = "every device reads a batch of its own there; `batch` is that of one"
"""What becomes of a number of devices."""

OF_RATE = " * optim.lr"
"""How a share of the learning rate ends."""


def adamw(optim: Config) -> Block:
    """Return AdamW with the defaults of lingua and ITL, where everything decays."""
    fields: dict[str, str | Block] = {"lr": decimal(optim.number("lr", "3e-4") or 0)}
    betas = [optim.number("beta1", "0.9") or 0, optim.number("beta2", "0.95") or 0]
    if betas != [Decimal("0.9"), Decimal("0.95")]:
        fields["betas"] = f"[{decimal(betas[0])}, {decimal(betas[1])}]"
    eps = optim.number("epsilon", "1e-8") or 0
    fields |= {"eps": decimal(eps)} if eps != Decimal("1e-8") else {}
    fields["weight_decay"] = decimal(optim.number("weight_decay", "0.1") or 0)
    fields["decay"] = quoted("all")
    limit = optim.number("clip", "1.0")
    fields |= {"clip": decimal(limit)} if limit else {}
    return Block("optim", variant="adamw", fields=fields)


def schedule(optim: Config, kind: str, steps: int) -> Block:
    """Return a warm-up and a curve down to a share of the peak, by the keys `warmup` and `lr_min_ratio`.

    A warm-up that outlasts the training is the line that the training sees of it.
    """
    warmup = optim.whole("warmup", 2000) or 0
    ratio = optim.number("lr_min_ratio", "0.1") or Decimal(0)
    if warmup >= steps:
        share = Decimal(steps) / Decimal(warmup)
        return Block("schedule", variant="table", fields={"at": f"[0, {number(steps)}]", "factors": f"[0.0, {share}]"})
    fields: dict[str, str | Block] = {"warmup": number(warmup)} if warmup else {}
    fields |= {"floor": f"{decimal(ratio)}{OF_RATE}"} if ratio else {}
    return Block("schedule", variant=kind, fields=fields)


def split_batch(data: Config, parts: int, default: int | None = None) -> tuple[str, str]:
    """Return the batch of an optimiser step, and that of a forward pass where a step has several."""
    size = data.require("batch_size", data.whole("batch_size", default))
    return str(size * parts), str(size) if parts > 1 else ""


def checkpoints(
    fields: dict[str, str | Block], every: Block, config: Config, period: str, kept: str, log: str, evals: str = ""
) -> None:
    """Add how often a training is looked at, from the paths that say so, and how many checkpoints stay."""
    for name, key in (("eval", evals), ("checkpoint", period), ("log", log)):
        steps = config.whole(key) if key else None
        if steps is not None and steps > 0:
            every.fields[name] = number(steps)
    if every.fields:
        fields["every"] = every
    last = config.whole(kept)
    if last is not None and last > 0:
        fields["keep"] = Block("keep", fields={"last": str(last)})


def tokenizer_file(config: Config) -> dict[str, str | Block]:
    """Return the fields of a tokenizer in the format of tiktoken."""
    found: dict[str, str | Block] = {"file": f"file({quoted(config.text('path'))})"}
    pattern = config.text("pattern")
    if pattern:
        found["pattern"] = 're"' + pattern.replace('"', r"\"").replace("\n", r"\n") + '"'
    return found
