"""How tokens are drawn: the `sample {}` of evaluations that generate."""

from __future__ import annotations

from attrs import Factory, frozen
from attrs.validators import and_, ge, gt, le, optional

from .schema import option, variant


@variant("bias")
@frozen(kw_only=True, repr=False)
class Bias:
    """A number that is added to the logit of one token."""

    token: str = option("Text of exactly one token, or the spelling of a declared special.")
    add: float = option("What is added, in nats.")


@variant("sample")
@frozen(kw_only=True, repr=False)
class Sample:
    """Bias and bans, then penalties, then temperature, `top_k`, `top_p` and `min_p`, in this order."""

    temperature: float = option(
        "0 is greedy; the evaluation's own where it has one.",
        derived="temperature",
        default=1.0,
        validator=ge(0.0),
    )
    top_k: int | None = option("Keep the k likeliest tokens.", default=None, validator=optional(ge(1)))
    top_p: float | None = option(
        "Keep the likeliest tokens up to this share (Holtzman et al. 2020).",
        default=None,
        validator=optional(and_(gt(0.0), le(1.0))),
    )
    min_p: float | None = option(
        "Keep tokens from this share of the likeliest one's probability on (Nguyen et al. 2024).",
        default=None,
        validator=optional(and_(ge(0.0), le(1.0))),
    )
    repetition: float = option(
        "Divides positive and multiplies negative logits of tokens that were read or said (Keskar et al. 2019).",
        default=1.0,
        validator=gt(0.0),
    )
    presence: float = option("Subtracted from the logits of tokens that were said.", default=0.0)
    frequency: float = option("Subtracted from a token's logit each time that it was said.", default=0.0)
    biases: dict[str, Bias] = option("Numbers added to logits of tokens.", repeat="bias", default=Factory(dict))
    banned: tuple[str, ...] = option("Tokens that are never said, as `bias` spells them.", default=())
