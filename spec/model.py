"""Model architectures and their parts. Parameter counts are arithmetic here, never torch."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen
from attrs.validators import and_, ge, gt, lt, optional

from .init import Init, InitITL
from .mixers import Based, Hyena, Mamba
from .schema import option, variant
from .units import FilePath


@variant("mixer", "attention")
@frozen(kw_only=True, repr=False)
class Attention:
    """Grouped-query attention (Ainslie et al. 2023); one kv head per query head unless `kv_heads` says otherwise."""

    heads: int = option("Number of query heads; divides the width unless `head_dim` is set.", validator=ge(1))
    kv_heads: int = option("Number of key-value heads; divides `heads`.", derived="heads", default=0, validator=ge(0))
    head_dim: int | None = option(
        "Channels of a head; none: width / heads.", unit="channels", default=None, validator=optional(ge(1))
    )
    bias: Literal["none", "qkv", "all"] = option(
        "Which projections have a bias: none, those to queries, keys and values, or the one of the output as well.",
        default="none",
    )
    window: int | None = option(
        "Positions of its document that a position sees, itself included; none: all before it.",
        unit="positions",
        default=None,
        validator=optional(ge(1)),
    )
    sinks: int = option(
        "First positions of a document that all its positions see beside `window`.",
        unit="positions",
        default=0,
        validator=ge(0),
    )
    dropout: float = option(
        "Share of the weights of attention that a training sets to 0.",
        default=0.0,
        validator=and_(ge(0.0), lt(1.0)),
        ahead=bool,
    )

    def head_size(self, width: int) -> int:
        """Return the channels of a head."""
        return self.head_dim or width // self.heads

    def num_params(self, width: int) -> int:
        """Parameters of q, k, v and output projections."""
        size = self.head_size(width)
        inner, both = size * self.heads, 2 * size * self.kv_heads
        biases = {"none": 0, "qkv": inner + both, "all": inner + both + width}[self.bias]
        return width * (2 * inner + both) + biases


@variant("mixer", "gated")
@frozen(kw_only=True, repr=False)
class GatedRecurrence:
    """A small gated linear recurrence, h_t = f_t h_(t-1) + (1 - f_t) v_t.

    It holds state instead of keys and values, and so keeps every cache and layout contract honest.
    """

    def num_params(self, width: int) -> int:
        """Parameters of value, forget-gate, output-gate and output projections, without biases."""
        return 4 * width * width


@variant("mlp", "swiglu")
@frozen(kw_only=True, repr=False)
class SwiGLU:
    """down(silu(gate(x)) * up(x)) (Shazeer 2020, eq. 6)."""

    hidden: int = option(
        "Width between the projections.",
        unit="channels",
        derived="4 * width",
        default=0,
        validator=ge(0),
    )
    bias: bool = option("Whether the projections have biases.", default=False)

    def num_params(self, width: int) -> int:
        """Parameters of gate, up and down."""
        return 3 * width * self.hidden + (2 * self.hidden + width if self.bias else 0)


@variant("mlp", "identity", runs=False)
@frozen(kw_only=True, repr=False)
class Identity:
    """Nothing: the block adds the norm of its residual stream."""

    def num_params(self, width: int) -> int:
        """None."""
        return 0


@variant("norm", "rms")
@frozen(kw_only=True, repr=False)
class RMSNorm:
    """Root-mean-square normalisation with a gain (Zhang & Sennrich 2019, eq. 4)."""

    eps: float = option("Added to the mean square.", default=1e-5, validator=gt(0.0))


@variant("scaling", "linear")
@frozen(kw_only=True, repr=False)
class LinearScaling:
    """Frequencies divided by `factor` (position interpolation, Chen et al. 2023)."""

    factor: float = option("Divides every frequency.", validator=ge(1.0))


@variant("scaling", "llama3")
@frozen(kw_only=True, repr=False)
class Llama3Scaling:
    """Low frequencies divided by `factor`, high ones kept, those between interpolated (Llama 3.1, 2024).

    A frequency is low if it turns less than `low` times within `original` positions, high if more than `high` times.
    """

    factor: float = option("Divides the low frequencies.", default=8.0, validator=ge(1.0))
    low: float = option("Turns below which a frequency is low.", default=1.0, validator=gt(0.0))
    high: float = option("Turns above which a frequency is high; more than `low`.", default=4.0, validator=gt(0.0))
    original: int = option("Positions before scaling.", unit="positions", default=8192, validator=ge(1))


@variant("scaling", "ntk")
@frozen(kw_only=True, repr=False)
class NtkScaling:
    """A larger base, theta factor^(h / (h - 2)) for heads of h channels: low frequencies are divided by `factor`.

    The highest one is kept (NTK-aware scaling, bloc97 2023).
    """

    factor: float = option("Divides the lowest frequency.", validator=ge(1.0))


@variant("scaling", "yarn")
@frozen(kw_only=True, repr=False)
class YarnScaling:
    """Low frequencies divided by `factor`, high ones kept, a ramp between, q and k scaled (YaRN, Peng et al. 2023).

    A frequency is low if it turns less than `low` times within `original` positions, high if more than `high` times.
    """

    factor: float = option("Divides the low frequencies.", validator=ge(1.0))
    original: int = option("Positions before scaling.", unit="positions", validator=ge(1))
    low: float = option("Turns below which a frequency is low (beta_slow).", default=1.0, validator=gt(0.0))
    high: float = option(
        "Turns above which a frequency is high (beta_fast); more than `low`.", default=32.0, validator=gt(0.0)
    )
    ramp: Literal["index", "rotations"] = option(
        "What the ramp is linear in: the number of the frequency, between whole numbers, as common code has it; or its "
        "turns within `original` positions, as the paper has it.",
        default="index",
    )
    attention: float | None = option(
        "What q and k are multiplied by; none: 0.1 ln(factor) + 1.", default=None, validator=optional(gt(0.0))
    )

    @property
    def multiplier(self) -> float:
        """What q and k are multiplied by (Peng et al. 2023, eq. 15)."""
        return 0.1 * math.log(self.factor) + 1.0 if self.attention is None else self.attention


Scaling = LinearScaling | Llama3Scaling | NtkScaling | YarnScaling


@variant("positions", "rope")
@frozen(kw_only=True, repr=False)
class Rope:
    """Rotary positions on half-split pairs (Su et al. 2021)."""

    theta: float = option("Base of the frequencies.", default=10_000.0, validator=gt(0.0))
    unit: Literal["radians", "turns"] = option(
        "What a position times a frequency counts; in turns the first pair does not rotate.",
        default="radians",
    )
    scaling: Llama3Scaling | LinearScaling | NtkScaling | YarnScaling | None = option(
        "How frequencies reach longer contexts.", default=None
    )

    @property
    def reach(self) -> int:
        """Positions that scaling reaches, `original` times `factor`; 0 where it does not say."""
        scaling = self.scaling
        return int(scaling.original * scaling.factor) if isinstance(scaling, Llama3Scaling | YarnScaling) else 0


@variant("positions", "alibi")
@frozen(kw_only=True, repr=False)
class Alibi:
    """Scores of attention fall linearly with distance, by a slope of each head (Press et al. 2022)."""


@variant("positions", "learned")
@frozen(kw_only=True, repr=False)
class Learned:
    """A table of positions that is added to the embedding, drawn as that is."""

    length: int = option(
        "Positions that the model knows; no text is longer.",
        unit="positions",
        derived="data.seq_len",
        circular=True,
        default=0,
        validator=ge(1),
    )


@variant("positions", "nope")
@frozen(kw_only=True, repr=False)
class Nope:
    """No positions."""


@variant("weights", "hf")
@frozen(kw_only=True, repr=False)
class HfWeights:
    """Weights in the layout of Hugging Face: `config.json` and safetensors of a Llama architecture."""

    repo: str | None = option("Repository on the Hugging Face hub.", default=None)
    revision: str | None = option("Commit, tag or branch of `repo`; none: the newest.", default=None)
    commit: str | None = option("Commit that a lock says.", hidden=True, identity=False, default=None)
    folder: FilePath | None = option("A folder on disk.", default=None)
    dtype: Literal["fp32", "bf16", "fp16"] | None = option(
        "What values are rounded to as they are read, whatever the model computes in; none: not at all.", default=None
    )
    new_rows: Literal["mean", "normal"] = option(
        "Rows of ids beyond the repository's: the `mean` of its rows, or `normal` draws about it with their spread.",
        default="mean",
    )


Mixer = Attention | GatedRecurrence | Hyena | Based | Mamba


@frozen(kw_only=True)
class Stack:
    """What every model of blocks around a residual stream has: its parameters are arithmetic over its fields."""

    tokenizer: str | None = option("Tokenizer whose ids the model reads.", ref="tokenizer", default=None)
    vocab: int | None = option(
        "Number of token ids; at least those of the tokenizer.",
        derived="tokenizer.vocab",
        unknown="tokenizer",
        default=None,
        validator=optional(ge(0)),
    )
    layers: int = option("Number of blocks.", validator=ge(1))
    width: int = option("Size of the residual stream.", unit="channels", validator=ge(1))
    mixer: Mixer = option("How positions exchange information.")
    mlp: SwiGLU | Identity = option("The position-wise part of a block.", default=SwiGLU())
    norm: RMSNorm = option("Normalisation before mixer, mlp and head.", default=RMSNorm())
    positions: Rope | Alibi | Learned | Nope = option("How the model knows positions.", default=Rope())
    tied: bool = option("Whether the head shares the embedding's weights.", default=False)
    init: Init = option("How weights are drawn.", default=InitITL())

    @property
    def params(self) -> int | None:
        """Number of parameters, tied weights once; None while the vocabulary is unknown."""
        return None if self.vocab is None else self.num_params()

    def num_params(self) -> int:
        """Return the number of parameters, tied weights once. Raises ValueError while the vocabulary is unknown."""
        block = self.mixer.num_params(self.width) + self.mlp.num_params(self.width) + 2 * self.width
        tables = self.num_ids() * (1 if self.tied else 2)
        if isinstance(self.positions, Learned):
            tables += self.positions.length
        return self.layers * block + self.width + tables * self.width

    @property
    def longest(self) -> int | None:
        """Most positions of a text; None where the model sets no limit."""
        return self.positions.length if isinstance(self.positions, Learned) else None

    def num_ids(self) -> int:
        """Return the number of token ids. Raises ValueError while the vocabulary is unknown."""
        if self.vocab is None:
            raise ValueError("the vocabulary is known only when the tokenizer's file is read")
        return self.vocab


@variant("model", "transformer")
@frozen(kw_only=True, repr=False)
class Transformer(Stack):
    """A decoder: embedding, pre-norm blocks of mixer and mlp, final norm, head."""

    weights: HfWeights | None = option("What a training starts from; none: drawn weights.", default=None)


@variant("model", "residual", runs=False)
@frozen(kw_only=True, repr=False)
class Residual(Stack):
    """Blocks of any mixer and mlp around a residual stream, for the study of mixers (Zoology, Arora et al. 2023)."""

    mlp: SwiGLU | Identity = option("The position-wise part of a block.", default=Identity())
    positions: Rope | Alibi | Learned | Nope = option("How the model knows positions.", default=Nope())
    tied: bool = option("Whether the head shares the embedding's weights.", default=True)
