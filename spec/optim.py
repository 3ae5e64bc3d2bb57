"""Update rules, and the groups of parameters that depart from them."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, evolve, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from .schema import allows, option, variant

_DECAY = "Which parameters decay: matrices, or vectors as well."


@allows(minItems=2, maxItems=2, items={"minimum": 0, "exclusiveMaximum": 1})
def _two_decays(instance: Any, attribute: Any, value: tuple[float, ...]) -> None:
    """Two numbers from 0 to below 1."""
    if len(value) != 2 or not all(0 <= decay < 1 for decay in value):
        raise ValueError("'betas' must be two numbers from 0 to below 1")


@variant("group")
@frozen(kw_only=True, repr=False)
class Group:
    """Parameters that the rule treats in a way of their own; the first group that matches a parameter has it."""

    match: str = option("Glob over parameter paths as the checkpoint names them, as `blocks.*.mixer.*`.")
    lr_scale: float = option("Multiplies the learning rate.", default=1.0, validator=gt(0.0))
    weight_decay: float | None = option(
        "Decay of all that matches, vectors too; none: as the rule says.", default=None, validator=optional(ge(0.0))
    )
    frozen: bool = option("Whether what matches stays as it is.", default=False)
    rank: int = option("Place among the groups as written, from 0.", hidden=True, default=0)


@frozen(kw_only=True)
class Rule:
    """What every update rule has.

    Attributes:
        clip: largest norm of the gradient of a step, over all parameters; None leaves gradients as they are.
        groups: departures by name; `rank` keeps their order where a mapping loses it.
    """

    clip: float | None = option("Largest norm of the gradient of a step.", default=None, validator=optional(gt(0.0)))
    groups: dict[str, Group] = option("Departures by parameter path.", repeat="group", default=Factory(dict))

    def __attrs_post_init__(self) -> None:
        """Rank the groups in the order in which they stand, or put ranked ones in order."""
        named = list(self.groups.items())
        if sorted(group.rank for _, group in named) == list(range(len(named))):
            ordered = sorted(named, key=lambda item: item[1].rank)
        else:
            ordered = [(name, evolve(group, rank=rank)) for rank, (name, group) in enumerate(named)]
        object.__setattr__(self, "groups", dict(ordered))


@variant("optim", "adamw")
@frozen(kw_only=True, repr=False)
class AdamW(Rule):
    """AdamW (Loshchilov & Hutter 2019); `lr` is the peak that the schedule multiplies down from."""

    lr: float = option("Peak learning rate.", default=1e-3, validator=gt(0.0))
    betas: tuple[float, ...] = option("Decay of first and second moment.", default=(0.9, 0.95), validator=_two_decays)
    eps: float = option("Added to the root of the second moment.", default=1e-8, validator=gt(0.0))
    weight_decay: float = option("Decoupled decay.", default=0.1, validator=ge(0.0))
    decay: Literal["matrices", "all"] = option(_DECAY, default="matrices")


@variant("optim", "sgd")
@frozen(kw_only=True, repr=False)
class SGD(Rule):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013): v = momentum v + g, w = w - lr v."""

    lr: float = option("Peak learning rate.", default=0.1, validator=gt(0.0))
    momentum: float = option("Decay of the velocity; 0: plain descent.", default=0.9, validator=and_(ge(0.0), lt(1.0)))
    nesterov: bool = option("Whether the step looks ahead, g + momentum v; nothing without momentum.", default=False)
    weight_decay: float = option("L2 penalty, added to the gradient.", default=0.0, validator=ge(0.0))
    decay: Literal["matrices", "all"] = option(_DECAY, default="matrices")


@variant("adamw")
@frozen(kw_only=True, repr=False)
class MuonAdamW:
    """AdamW for what Muon is not meant for: embeddings, head, vectors, and whatever is no linear map of a block."""

    lr: float | None = option(
        "Peak learning rate, on the same schedule; none: that of the matrices.",
        default=None,
        validator=optional(gt(0.0)),
    )
    betas: tuple[float, ...] = option("Decay of first and second moment.", default=(0.9, 0.95), validator=_two_decays)
    eps: float = option("Added to the root of the second moment.", default=1e-8, validator=gt(0.0))
    weight_decay: float = option("Decoupled decay.", default=0.1, validator=ge(0.0))
    decay: Literal["matrices", "all"] = option(_DECAY, default="matrices")


@variant("optim", "muon")
@frozen(kw_only=True, repr=False)
class Muon(Rule):
    """Muon (Jordan et al. 2024): momentum, orthogonalised by Newton-Schulz, for the linear maps of the blocks."""

    lr: float = option("Peak learning rate of the matrices.", default=1e-3, validator=gt(0.0))
    momentum: float = option("Decay of the averaged gradient.", default=0.95, validator=and_(ge(0.0), lt(1.0)))
    nesterov: bool = option("Whether the average looks one gradient ahead.", default=True)
    ns_steps: int = option("Newton-Schulz iterations, in bfloat16.", default=5, validator=and_(ge(1), le(99)))
    weight_decay: float = option("Decoupled decay of the matrices.", default=0.1, validator=ge(0.0))
    scale: Literal["match_rms", "original"] = option(
        "What an update n x m is multiplied by: 0.2 sqrt(max(n, m)), the size of AdamW's (Liu et al. 2025), "
        "or sqrt(max(1, n / m)) (Jordan et al. 2024).",
        default="match_rms",
    )
    adamw: MuonAdamW = option("How all else is updated.", default=MuonAdamW())
