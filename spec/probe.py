"""Probes: numbers recorded at named sites of a model, while it trains or from its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen
from attrs.validators import ge

from .evaluation import Checkpoint, checkpoint_option
from .model import Attention
from .schema import option, variant
from .units import Steps

RECORDED = ("mean", "rms", "absmax")
"""Statistics that this version can record."""
UNRECORDED_SITE = "mixer.weights"


def _is_ahead(value: tuple[str, ...]) -> bool:
    return not set(value) <= set(RECORDED)


def _names_weights(value: tuple[str, ...]) -> bool:
    return any(pattern.endswith(UNRECORDED_SITE) for pattern in value)


def sites(model: Any) -> Iterator[str]:
    """Yield the names of the places of a model where probes look."""
    yield "embed"
    for number in range(model.layers):
        yield from (f"blocks.{number}.{site}" for site in ("mixer.out", "mlp.out", "out"))
        if isinstance(model.mixer, Attention):
            yield f"blocks.{number}.{UNRECORDED_SITE}"
    yield "head"


@variant("on")
@frozen(kw_only=True, repr=False)
class On:
    """The examples on which a probe reads stored checkpoints."""

    data: str = option("Where the examples come from.", ref="data")
    split: Literal["train", "valid"] = option("Which part.", default="valid")
    examples: int = option("How many examples, drawn by `seed`.", default=32, validator=ge(1))
    seed: int = option("Seed of the examples.", default=0)


@variant("donor")
@frozen(kw_only=True, repr=False)
class Donor:
    """Another model, whose activations are put in."""

    run: str = option("The training.", ref="train")
    checkpoint: Checkpoint = checkpoint_option()


def _run_option() -> Any:
    return option("The training, or several: each is probed, and the column `run` tells them apart.", ref="train")


def _at_option() -> Any:
    return option(
        "Sites by pattern: `embed`, `blocks.*.mixer.out`, `head`; `mixer.weights` are those of attention.",
        many=True,
        ahead=_names_weights,
    )


@variant("probe", "activations")
@frozen(kw_only=True, repr=False)
class ActivationsProbe:
    """Statistics of what passes through sites in the forward pass."""

    run: str | tuple[str, ...] = _run_option()
    checkpoint: Checkpoint = checkpoint_option()
    at: tuple[str, ...] = _at_option()
    reduce: tuple[Literal["mean", "rms", "absmax", "entropy"], ...] = option(
        "Statistics; entropy is that of weights of attention, in nats.", default=RECORDED, many=True, ahead=_is_ahead
    )
    keep: tuple[Literal["layer", "head", "position"], ...] = option(
        "What statistics are not taken over, each a column.", default=(), many=True, ahead=bool
    )
    every: Steps = option("Steps between recordings.", default=Steps(100), validator=ge(1))
    on: On | None = option(
        "Stored checkpoints are read on these examples; none: the training is observed.",
        default=None,
        ahead=lambda value: value is not None,
    )


@variant("probe", "gradients")
@frozen(kw_only=True, repr=False)
class GradientsProbe:
    """Statistics of the gradient of the loss with respect to sites, in the backward pass."""

    run: str | tuple[str, ...] = _run_option()
    checkpoint: Checkpoint = checkpoint_option()
    at: tuple[str, ...] = _at_option()
    reduce: tuple[Literal["mean", "rms", "absmax", "norm", "noise_scale"], ...] = option(
        "Statistics; noise_scale is the trace of the gradient's covariance over its squared norm (McCandlish et al. "
        "2018, eq. 2.9).",
        default=RECORDED,
        many=True,
        ahead=_is_ahead,
    )
    every: Steps = option("Steps between recordings.", default=Steps(100), validator=ge(1))
    on: On | None = option(
        "Stored checkpoints are read on these examples; none: the training is observed.",
        default=None,
        ahead=lambda value: value is not None,
    )


@variant("probe", "intervene", runs=False)
@frozen(kw_only=True, repr=False)
class InterveneProbe:
    """Activation patching: activations of another run are put in at sites (Vig et al. 2020; Meng et al. 2022)."""

    run: str | tuple[str, ...] = _run_option()
    checkpoint: Checkpoint = checkpoint_option()
    donor: Donor = option("Whose activations are put in.")
    at: tuple[str, ...] = _at_option()
    one_at_a_time: bool = option("Whether each site is patched alone, or all together.", default=True)
    measure: tuple[Literal["loss", "kl", "accuracy"], ...] = option(
        "What is told of the patched model; kl is against its own distribution without patches.",
        default=("loss",),
        many=True,
    )
    on: On = option("The examples.")
