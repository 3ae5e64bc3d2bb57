"""Training: what is optimised, how, and how often it is looked at."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Literal

from attrs import evolve, frozen
from attrs.validators import and_, ge, gt, lt, optional

from .expr import Expr
from .optim import SGD, AdamW, Muon
from .schedule import Constant, Schedule
from .schema import option, variant
from .stage import Stage
from .tracking import Track
from .units import Duration, Env, Size, Steps

Dtype = Literal["fp32", "bf16"]


@variant("loss")
@frozen(kw_only=True, repr=False)
class Loss:
    """What a training minimises: cross entropy, and what is added to it. Evaluations of `loss` stay cross entropy."""

    z: float = option(
        "Times the squared log of the softmax's denominator (z-loss, Chowdhery et al. 2022, section 5).",
        default=0.0,
        validator=ge(0.0),
    )
    smoothing: float = option(
        "Share of the target that is spread evenly over the vocabulary (Szegedy et al. 2016, section 7).",
        default=0.0,
        validator=and_(ge(0.0), lt(1.0)),
    )


@variant("every")
@frozen(kw_only=True, repr=False)
class Every:
    """How often a training is looked at; changes no bit of it."""

    eval: Steps | None = option(
        "Steps between evaluations.",
        derived="max(1, steps // 50)",
        default=Steps(0),
        identity=False,
        unknown="examples",
        validator=optional(ge(0)),
    )
    checkpoint: Steps | None = option(
        "Steps between kept checkpoints; none: by time, every five minutes.",
        default=None,
        identity=False,
        validator=optional(ge(1)),
    )
    log: Steps = option("Steps between records.", default=Steps(10), identity=False, validator=ge(1))


@variant("keep")
@frozen(kw_only=True, repr=False)
class Keep:
    """Which checkpoints stay; the last whole one always does."""

    last: int | None = option(
        "How many of the newest; none: two, and every one that `every.checkpoint` asks for if `every` is none too.",
        default=None,
        identity=False,
        validator=optional(ge(1)),
    )
    every: Steps | None = option(
        "Steps between checkpoints that stay for good.", default=None, identity=False, validator=optional(ge(1))
    )
    best: str | None = option(
        "EVAL.METRIC of an evaluation during training: where it is best a checkpoint is made and stays.",
        default=None,
        identity=False,
    )


@variant("precision")
@frozen(kw_only=True, repr=False)
class Precision:
    """The dtypes of a training; loss, and the means of normalisation, are in fp32 whatever is said here."""

    params: Dtype = option("Parameters and optimiser state.", default="fp32")
    compute: Dtype = option("Forward and backward passes.", default="fp32")
    reduce: Dtype = option("Sum of the gradients of micro-batches and devices.", default="fp32")


@variant("remat")
@frozen(kw_only=True, repr=False)
class Remat:
    """Activation checkpointing: activations that are computed again in the backward pass instead of kept."""

    blocks: tuple[str, ...] = option("Blocks by pattern: `blocks.*`.", default=(), identity=False, many=True)
    save: tuple[Literal["mixer.out", "mlp.out"], ...] = option(
        "Sites of these blocks whose outputs are kept.", default=(), identity=False, many=True
    )


@variant("profile")
@frozen(kw_only=True, repr=False)
class Profile:
    """What is measured of a training beyond the light profile that every run has."""

    steps: tuple[Steps, ...] = option(
        "Steps of which a trace of torch.profiler is written.", default=(), identity=False, many=True
    )


@variant("limits")
@frozen(kw_only=True, repr=False)
class Limits:
    """What a training may take in one go before it leaves with a checkpoint; changes no bit of it."""

    wall: Duration | None = option(
        "Time from when a process begins to work on the run; the same command then goes on.",
        default=None,
        identity=False,
        validator=optional(gt(0.0)),
    )
    memory: Size | None = option(
        "Bytes that the process holds at most while it trains, on the device if that is a GPU; more is an error.",
        default=None,
        identity=False,
        validator=optional(ge(1)),
    )


@variant("secrets")
@frozen(kw_only=True, repr=False)
class Secrets:
    """Variables of the environment that hold what is secret; neither they nor their names change what a run is."""

    hub: Env | None = option("Token of the Hugging Face hub; none: HF_TOKEN.", default=None, identity=False)
    wandb: Env | None = option("Key of W&B; none: WANDB_API_KEY.", default=None, identity=False)


@variant("stop")
@frozen(kw_only=True, repr=False)
class Stop:
    """When a training ends before its last step."""

    when: Expr | None = option(
        "Condition over metrics of the run's evaluations, asked when one has been made: `val.loss < 1.2`; "
        "`since_best(val.loss) >= 5` counts evaluations since the best one. None: never.",
        default=None,
    )


@variant("start", "checkpoint")
@frozen(kw_only=True, repr=False)
class InitCheckpoint:
    """The weights of another training at a step: to go on from it, or to branch off."""

    run: str = option("The training.", ref="train")
    step: Steps | None = option("A step that it keeps a checkpoint of; none: its last.", default=None)
    optimizer: bool = option("Whether the state of the optimiser is taken over as well.", default=False)


@variant("train")
@frozen(kw_only=True, repr=False)
class Train:
    """A training run: the loss is the mean over the trained positions of the whole step."""

    model: str = option("What is trained.", ref="model")
    data: str = option("What it is trained on.", ref="data")
    mesh: str | None = option("Where it runs; one device if none.", ref="mesh", default=None, identity=False)
    steps: Steps | None = option(
        "Optimiser steps; exactly one of steps, tokens and epochs is written.",
        derived="tokens // (batch * data.seq_len)",
        circular=True,
        default=Steps(0),
        unknown="examples",
        validator=optional(ge(1)),
    )
    tokens: int | None = option(
        "Tokens trained on; exactly one of steps, tokens and epochs is written.",
        derived="steps * batch * data.seq_len",
        default=0,
        identity=False,
        unknown="tokens",
    )
    epochs: float | None = option(
        "Passes over the examples, which the run counts; exactly one of steps, tokens and epochs is written.",
        default=None,
        unknown="passes",
        validator=optional(gt(0.0)),
    )
    batch: int = option("Examples per optimiser step, over all devices.", validator=ge(1))
    micro_batch: int | None = option(
        "Examples per forward pass; none: chosen by length.", default=None, identity=False, validator=optional(ge(1))
    )
    compile: bool | None = option(
        "Whether forward pass and loss are compiled by torch.compile; none: where that was measured to pay.",
        default=None,
        identity=False,
    )
    seed: int = option("Seed of initialisation and of order.", default=0, free=True)
    init: InitCheckpoint | None = option("What it starts from; none: drawn weights.", default=None)
    origin: str | None = option("The run of `init`.", ref="train", default=None, hidden=True, identity=False)
    optim: AdamW | SGD | Muon = option("Update rule.", default=AdamW())
    loss: Loss = option("What is minimised.", default=Loss())
    ema: float | None = option(
        "Decay per step of a running mean of the weights, which evaluations and the final weights then are; none: off.",
        default=None,
        validator=optional(and_(gt(0.0), lt(1.0))),
    )
    schedule: Schedule = option("Learning rate over the steps.", default=Constant())
    batch_schedule: Schedule | None = option(
        "Examples per step over the steps, at most `batch`, rounded, at least 1; none: always `batch`.", default=None
    )
    length_schedule: Schedule | None = option(
        "Tokens that are read of each example over the steps, at most `data.seq_len`, rounded, at least 2 (Li et al. "
        "2022, section 4); none: all.",
        default=None,
    )
    stop: Stop = option("When it ends early.", default=Stop())
    stages: tuple[Stage, ...] = option(
        "What changes on the way; `steps` is then the sum of theirs.", repeat="stage", default=()
    )
    staged_data: tuple[str, ...] = option("The data of the stages.", ref="data", default=(), hidden=True)
    staged_models: tuple[str, ...] = option("The models of the stages.", ref="model", default=(), hidden=True)
    counted: tuple[str, ...] = option(
        "What a grid's `identity` names beside what always counts, in canonical JSON.", default=(), hidden=True
    )
    watched: tuple[str, ...] = option("What the evaluations in `stop` are, and how often.", default=(), hidden=True)
    precision: Precision = option("Dtypes.", default=Precision())
    non_finite: Literal["stop", "skip"] = option(
        "At a loss or gradient that is not finite: stop the run, or leave that step's update out.", default="stop"
    )
    remat: Remat = option("Which activations are computed again.", default=Remat(), identity=False)
    every: Every = option("How often it is looked at.", default=Every(), identity=False)
    keep: Keep = option("Which checkpoints stay.", default=Keep(), identity=False)
    profile: Profile = option("What is measured of it.", default=Profile(), identity=False)
    track: Track | None = option(
        "Where it is shown besides its own folder; none: nowhere.", default=None, identity=False
    )
    limits: Limits = option("What it may take.", default=Limits(), identity=False)
    secrets: Secrets = option("Where secret values are.", default=Secrets(), identity=False)

    def keeps(self, step: int) -> bool:
        """Whether the checkpoint of a step stays for ever, whatever comes behind it."""
        interval, last = self.keeping(), self.num_steps()
        return step == last or (interval is not None and 0 < step <= last and step % interval == 0)

    def keeping(self) -> int | None:
        """Return the steps between checkpoints that stay for ever; None: only the last one does."""
        alone = self.keep.last is None and self.keep.every is None
        return self.every.checkpoint if alone else self.keep.every

    def kept_steps(self) -> str:
        """Return which checkpoints stay for ever, and what says so, as a message tells it."""
        interval, last = self.keeping(), f"its last, {self.num_steps():,}"
        if interval is not None:
            said = "every.checkpoint" if self.keep.every is None else "keep.every"
            return f"it keeps those of every {interval:,} steps (`{said}`) and {last}"
        if self.every.checkpoint is None:
            return f"it keeps {last}, for good; `every.checkpoint` says which others it makes and keeps"
        newest = f"the {self.keep.last:,} newest" if self.keep.last and self.keep.last > 1 else "the newest alone"
        return f"`keep.last` leaves {newest}, so for good {last}; `keep.every` says which others stay"

    def num_steps(self) -> int:
        """Return the optimiser steps. Raises ValueError while they are unknown."""
        if self.steps is None:
            raise ValueError("the steps of these epochs are known only when the run counts its examples")
        return int(self.steps)

    def steps_over(self, examples: int) -> int:
        """Return the optimiser steps that see `examples` as many times as `epochs` says, the last pass rounded up."""
        return ceil(Fraction(repr(self.epochs)) * examples / self.batch)

    def filled(self, steps: int) -> Train:
        """Return the train with its number of steps, and what follows from it."""
        every = self.every
        if every.eval is None:
            every = evolve(every, eval=Steps(max(1, steps // 50)))
        return evolve(self, steps=Steps(steps), every=every)

    def amended(self, stage: Stage) -> Train:
        """Return the train that a stage is, as if its steps were all; without a schedule of its own it has this one."""
        return evolve(
            self,
            stages=(),
            staged_data=(),
            staged_models=(),
            steps=stage.steps,
            tokens=stage.tokens,
            batch=stage.batch,
            micro_batch=stage.micro_batch,
            data=stage.data,
            model=stage.model,
            optim=evolve(self.optim, lr=stage.lr),
            schedule=self.schedule if stage.schedule is None else stage.schedule,
        )
