"""Data sets."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge

from .schema import option, variant
from .units import FilePath, Glob

Order = Literal["shuffle", "replace"]


@variant("split")
@frozen(kw_only=True)
class Split:
    """Shares of a text, in order: the first `train`, then `valid`."""

    train: float = option("Share trained on.", default=0.9, validator=ge(0.0))
    valid: float = option("Share held out.", default=0.1, validator=ge(0.0))


@variant("data", "text")
@frozen(kw_only=True)
class Text:
    """A text file cut into sequences of `seq_len` tokens; every position is trained."""

    source: FilePath = option("UTF-8 text file.")
    tokenizer: str = option("How text becomes tokens.", ref="tokenizer")
    seq_len: int = option("Tokens of one example.", unit="tokens", validator=ge(1))
    split: Split = option("What is trained on and what is held out.", default=Split())
    order: Order = option("`shuffle`: a permutation per epoch; `replace`: independent draws.", default="shuffle")
    seed: int = option("Seed of the order.", default=0)


@variant("data", "dialogues")
@frozen(kw_only=True)
class Dialogues:
    """Dialogues written from templates over the rows of a table (ITL, arXiv 2508.20755)."""

    tokenizer: str = option("How text becomes tokens.", ref="tokenizer")
    rows: str = option("The table, as `store.table`.", ref="table")
    count: int = option("How many rows, from the first.", unit="rows", validator=ge(1))
    mode: Literal["tool", "weight"] = option(
        "Whether answers are looked up or known; for templates to depend on.", default="weight"
    )
    templates: Glob = option("Template files; one dialogue per row and template.")
    protocols: tuple[str, ...] = option(
        'Protocols spoken in the dialogues; without replies = "tools" they change no training token.',
        ref="protocol",
        default=(),
        identity=False,
    )
    replies: Literal["written", "tools"] = option(
        "Whether templates write what tools reply, or say `{{reply}}` and have the tools of `protocols` asked; then "
        "what the protocols are is part of what the data is.",
        default="written",
    )
    seq_len: int = option("Longest dialogue.", unit="tokens", validator=ge(1))
    values: Literal["table", "fresh"] = option(
        "`fresh`: each training dialogue draws its own values, so only the reply can tell them.",
        default="table",
    )
    learn: tuple[str, ...] = option("Speakers whose tokens are trained.", default=("<|assistant|>",))
    overflow: Literal["error", "drop"] = option("What happens to a dialogue longer than `seq_len`.", default="error")
    order: Order = option("`shuffle`: a permutation per epoch; `replace`: independent draws.", default="shuffle")
    seed: int = option("Seed of order and fresh values.", default=0)
    replies_learned: tuple[str, ...] = option(
        "Speakers of tool replies that are trained (`reply.loss`).", hidden=True, default=()
    )
    spoken: tuple[str, ...] = option('The protocols, with replies = "tools".', ref="protocol", hidden=True, default=())
    automaton: str | None = option("Automaton of `spoken`.", ref="automaton", hidden=True, default=None, identity=False)
