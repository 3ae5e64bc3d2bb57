"""Training: what is optimised, how, and how often it is looked at."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge, gt

from .schema import option, variant
from .units import Steps


@variant("optim", "adamw")
@frozen(kw_only=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019); `lr` is the peak that the schedule multiplies down from."""

    lr: float = option("Peak learning rate.", default=1e-3, validator=gt(0.0))
    betas: tuple[float, ...] = option("Decay of first and second moment.", default=(0.9, 0.95))
    eps: float = option("Added to the root of the second moment.", default=1e-8, validator=gt(0.0))
    weight_decay: float = option("Decoupled decay.", default=0.1, validator=ge(0.0))
    decay: Literal["matrices", "all"] = option("Which parameters decay.", default="matrices")
    clip: float | None = option("Largest norm of the gradient of a step.", default=None)


@variant("schedule", "constant")
@frozen(kw_only=True)
class Constant:
    """`optim.lr` after a linear warm-up."""

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))


@variant("schedule", "cosine")
@frozen(kw_only=True)
class Cosine:
    """Linear warm-up to `optim.lr`, then half a cosine down to `floor` at the last step."""

    warmup: Steps = option("Steps of linear warm-up.", unit="steps", default=Steps(0), validator=ge(0))
    floor: float = option("Learning rate at the end.", default=0.0, validator=ge(0.0))


@variant("every")
@frozen(kw_only=True)
class Every:
    """How often a training is looked at; changes no bit of it."""

    eval: Steps = option(
        "Steps between evaluations.",
        derived="max(1, steps // 50)",
        default=Steps(0),
        identity=False,
    )
    checkpoint: Steps | None = option(
        "Steps between kept checkpoints; none: by time, every five minutes.",
        default=None,
        identity=False,
    )
    log: Steps = option("Steps between records.", default=Steps(10), identity=False, validator=ge(1))


@variant("train")
@frozen(kw_only=True)
class Train:
    """A training run: the loss is the mean over the trained positions of the whole step."""

    model: str = option("What is trained.", ref="model")
    data: str = option("What it is trained on.", ref="data")
    mesh: str | None = option("Where it runs; one device if none.", ref="mesh", default=None, identity=False)
    steps: Steps = option(
        "Optimiser steps; exactly one of steps and tokens is written.",
        derived="tokens // (batch * data.seq_len)",
        circular=True,
        default=Steps(0),
        validator=ge(1),
    )
    tokens: int = option(
        "Tokens trained on; exactly one of steps and tokens is written.",
        derived="steps * batch * data.seq_len",
        default=0,
        identity=False,
    )
    batch: int = option("Examples per optimiser step, over all devices.", validator=ge(1))
    micro_batch: int | None = option("Examples per forward pass; none: chosen by length.", default=None, identity=False)
    seed: int = option("Seed of initialisation and of order.", default=0)
    optim: AdamW = option("Update rule.", default=AdamW())
    schedule: Constant | Cosine = option("Learning rate over the steps.", default=Constant())
    every: Every = option("How often it is looked at.", default=Every(), identity=False)
