"""Initialisations: how the weights of a model are drawn. Biases are 0 and gains of norms 1 under all of them."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge, gt, optional

from .schema import option, variant

Activation = Literal["linear", "tanh", "relu", "selu"]


@frozen(kw_only=True)
class Overrides:
    """What any initialisation may draw otherwise."""

    zero_residual: bool = option(
        "Whether projections into the residual stream start at 0, so that every block starts as the identity.",
        default=False,
    )
    tiny_embedding: bool = option(
        "Whether the embedding starts uniform in +-1e-4, to be scaled by the norm of the first block (RWKV).",
        default=False,
    )


@variant("init", "itl")
@frozen(kw_only=True, repr=False)
class InitITL(Overrides):
    """Normal cut at 3 sigma, sigma = fan_in^-1/2 and width^-1/2 for embedding and head; no depth factor (ITL)."""


@variant("init", "gpt2")
@frozen(kw_only=True, repr=False)
class InitGPT2(Overrides):
    """Normal with one sigma; projections into the residual stream divided by sqrt(2 layers) (GPT-2)."""

    std: float = option("Standard deviation.", default=0.02, validator=gt(0.0))


@variant("init", "llama")
@frozen(kw_only=True, repr=False)
class InitLlama(Overrides):
    """`itl` with projections into the residual stream divided by a factor (Meta Lingua, `InitStdFactor`).

    The factor is 1 (`"none"`), sqrt(2 n) in the n-th block, counted from 1 (`"depth"`), sqrt(2 (layers + 1))
    (`"global"`) or width / 4096 (`"width"`).
    """

    residual: Literal["none", "depth", "global", "width"] = option(
        "What projections into the residual stream are divided by.", default="depth"
    )


@variant("init", "small")
@frozen(kw_only=True, repr=False)
class InitSmall(Overrides):
    """Normal cut at 3 sigma, sigma = sqrt(2 / (5 width)) (Nguyen & Salazar 2019, eq. 1).

    Projections into the residual stream have 2 / (layers sqrt(width)) (`"wang"`, GPT-NeoX) or sigma / sqrt(2 layers)
    (`"global"`).
    """

    residual: Literal["wang", "global"] = option("Spread of projections into the residual stream.", default="wang")


@variant("init", "xavier")
@frozen(kw_only=True, repr=False)
class InitXavier(Overrides):
    """Variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 16); of tables of ids as well."""

    activation: Activation = option("What the gain is for, as in torch.nn.init.calculate_gain.", default="linear")
    distribution: Literal["normal", "uniform"] = option("What is drawn; normal draws are not cut.", default="uniform")


@variant("init", "kaiming")
@frozen(kw_only=True, repr=False)
class InitKaiming(Overrides):
    """Variance gain^2 / fan (He et al. 2015, eqs. 10 and 14); of tables of ids as well."""

    activation: Activation = option("What the gain is for, as in torch.nn.init.calculate_gain.", default="relu")
    fan: Literal["in", "out"] = option("Whether forward or backward signals keep their variance.", default="in")
    distribution: Literal["normal", "uniform"] = option("What is drawn; normal draws are not cut.", default="normal")


@variant("init", "orthogonal")
@frozen(kw_only=True, repr=False)
class InitOrthogonal(Overrides):
    """Orthonormal rows or columns times a gain in the matrices of blocks (Saxe et al. 2014); tables of ids as `itl`."""

    activation: Activation = option("What the gain is for, as in torch.nn.init.calculate_gain.", default="linear")


@variant("init", "mup")
@frozen(kw_only=True, repr=False)
class InitMuP(Overrides):
    """The maximal update parametrisation for Adam (Yang et al. 2022, Tensor Programs V, tables 3 and 8).

    With m = width / base, matrices of blocks have variance 1 / fan_in and learning rate / m, embedding and head have a
    variance that does not depend on the width, logits are multiplied by 1 / m, and scores of attention by 1 / head_dim
    instead of head_dim^-1/2. Hidden sizes and heads * head_dim are meant to grow with the width.
    """

    base: int = option("Width at which learning rates were chosen.", unit="channels", validator=ge(1))
    embedding: float | None = option(
        "Standard deviation of the embedding; none: 1, or base^-1/2, that of a head of its own, if the head shares it.",
        default=None,
        validator=optional(gt(0.0)),
    )

    def multiplier(self, width: int) -> float:
        """Return what logits, and the learning rates of matrices of blocks, are multiplied by: base / width."""
        return self.base / width

    def embedding_std(self, tied: bool) -> float:
        """Return the standard deviation of the embedding."""
        return self.embedding or (self.head_std if tied else 1.0)

    @property
    def head_std(self) -> float:
        """Standard deviation of a head of its own, that of `itl` at the base width."""
        return float(self.base**-0.5)


Init = InitITL | InitGPT2 | InitLlama | InitSmall | InitXavier | InitKaiming | InitOrthogonal | InitMuP
