"""Model architectures and their parts. Parameter counts are arithmetic here, never torch."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge, gt, optional

from .schema import option, variant


@variant("mixer", "attention")
@frozen(kw_only=True)
class Attention:
    """Grouped-query attention (Ainslie et al. 2023); one kv head per query head unless `kv_heads` says otherwise."""

    heads: int = option("Number of query heads; divides the width.", validator=ge(1))
    kv_heads: int = option("Number of key-value heads; divides `heads`.", derived="heads", default=0, validator=ge(0))

    def num_params(self, width: int) -> int:
        """Parameters of q, k, v and output projections, without biases."""
        kv_width = width // self.heads * self.kv_heads
        return 2 * width * width + 2 * width * kv_width


@variant("mixer", "gated")
@frozen(kw_only=True)
class GatedRecurrence:
    """A small gated linear recurrence, h_t = f_t h_(t-1) + (1 - f_t) v_t.

    It holds state instead of keys and values, and so keeps every cache and layout contract honest.
    """

    def num_params(self, width: int) -> int:
        """Parameters of value, forget-gate, output-gate and output projections, without biases."""
        return 4 * width * width


@variant("mlp", "swiglu")
@frozen(kw_only=True)
class SwiGLU:
    """down(silu(gate(x)) * up(x)) without biases (Shazeer 2020, eq. 6)."""

    hidden: int = option(
        "Width between the projections.",
        unit="channels",
        derived="4 * width",
        default=0,
        validator=ge(0),
    )

    def num_params(self, width: int) -> int:
        """Parameters of gate, up and down."""
        return 3 * width * self.hidden


@variant("norm", "rms")
@frozen(kw_only=True)
class RMSNorm:
    """Root-mean-square normalisation with a gain (Zhang & Sennrich 2019, eq. 4)."""

    eps: float = option("Added to the mean square.", default=1e-5, validator=gt(0.0))


@variant("positions", "rope")
@frozen(kw_only=True)
class Rope:
    """Rotary positions on half-split pairs (Su et al. 2021)."""

    theta: float = option("Base of the frequencies.", default=10_000.0, validator=gt(0.0))
    unit: Literal["radians", "turns"] = option(
        "What a position times a frequency counts; in turns the first pair does not rotate.",
        default="radians",
    )


@variant("positions", "nope")
@frozen(kw_only=True)
class Nope:
    """No positions."""


@variant("init", "itl")
@frozen(kw_only=True)
class InitITL:
    """Normal cut at 3 sigma, sigma = fan_in^-1/2 and width^-1/2 for embedding and head; no depth factor (ITL)."""


@variant("init", "gpt2")
@frozen(kw_only=True)
class InitGPT2:
    """Normal with one sigma; projections into the residual stream divided by sqrt(2 layers) (GPT-2)."""

    std: float = option("Standard deviation.", default=0.02, validator=gt(0.0))


@variant("model", "transformer")
@frozen(kw_only=True)
class Transformer:
    """A decoder: embedding, pre-norm blocks of mixer and mlp, final norm, head."""

    tokenizer: str | None = option("Tokenizer whose ids the model reads.", ref="tokenizer", default=None)
    vocab: int | None = option(
        "Number of token ids; at least those of the tokenizer.",
        derived="tokenizer.vocab",
        unknown=True,
        default=None,
        validator=optional(ge(0)),
    )
    layers: int = option("Number of blocks.", validator=ge(1))
    width: int = option("Size of the residual stream.", unit="channels", validator=ge(1))
    mixer: Attention | GatedRecurrence = option("How positions exchange information.")
    mlp: SwiGLU = option("The position-wise part of a block.", default=SwiGLU())
    norm: RMSNorm = option("Normalisation before mixer, mlp and head.", default=RMSNorm())
    positions: Rope | Nope = option("How attention knows positions.", default=Rope())
    tied: bool = option("Whether the head shares the embedding's weights.", default=False)
    init: InitITL | InitGPT2 = option("How weights are drawn.", default=InitITL())

    @property
    def params(self) -> int | None:
        """Number of parameters, tied weights once; None while the vocabulary is unknown."""
        return None if self.vocab is None else self.num_params()

    def num_params(self) -> int:
        """Return the number of parameters, tied weights once. Raises ValueError while the vocabulary is unknown."""
        block = self.mixer.num_params(self.width) + self.mlp.num_params(self.width) + 2 * self.width
        tables = 1 if self.tied else 2
        return self.layers * block + self.width + tables * self.num_ids() * self.width

    def num_ids(self) -> int:
        """Return the number of token ids. Raises ValueError while the vocabulary is unknown."""
        if self.vocab is None:
            raise ValueError("the vocabulary is known only when the tokenizer's file is read")
        return self.vocab
