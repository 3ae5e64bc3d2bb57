"""Data sets."""

from __future__ import annotations

from typing import Literal

from attrs import Factory, frozen
from attrs.validators import ge, gt, optional

from .schema import option, variant
from .sources import HfDataset, Jsonl, Parquet, Url
from .units import FilePath, Glob

Order = Literal["shuffle", "replace"]


@variant("split")
@frozen(kw_only=True, repr=False)
class Split:
    """Shares of a text, in order: the first `train`, then `valid`."""

    train: float = option("Share trained on.", default=0.9, validator=ge(0.0))
    valid: float = option("Share held out.", default=0.1, validator=ge(0.0))


@variant("data", "text")
@frozen(kw_only=True, repr=False)
class Text:
    """Documents joined and cut into sequences of `seq_len` tokens; every position is trained."""

    source: FilePath | Glob | tuple[FilePath, ...] | Jsonl | Parquet | Url | HfDataset = option(
        "UTF-8 text files, each a document, or a block that names where documents are."
    )
    tokenizer: str = option("How text becomes tokens.", ref="tokenizer")
    seq_len: int = option("Tokens of one example.", unit="tokens", validator=ge(1))
    split: Split = option("What is trained on and what is held out.", default=Split())
    order: Order = option("`shuffle`: a permutation per epoch; `replace`: independent draws.", default="shuffle")
    seed: int = option("Seed of the order.", default=0)
    document_end: str | None = option(
        'Special token behind every document; "" joins them with nothing between. A source of several needs it.',
        default=None,
    )


@variant("part")
@frozen(kw_only=True, repr=False)
class Part:
    """A data set in a mixture."""

    data: str = option("Where its examples come from.", ref="data")
    weight: float = option("Share of the examples, relative to the other parts.", default=1.0, validator=ge(0.0))
    weight_end: float | None = option(
        "The weight that `weight` has moved to after `over` examples; none: it stays.",
        default=None,
        validator=optional(ge(0.0)),
    )


@variant("data", "mixture")
@frozen(kw_only=True, repr=False)
class Mixture:
    """Examples of several data sets, at every moment within one of the shares of their weights."""

    tokenizer: str = option("How text becomes tokens; that of every part.", ref="tokenizer")
    seq_len: int = option("Tokens of the longest example.", unit="tokens", validator=ge(1))
    parts: dict[str, Part] = option("What is mixed.", repeat="part", default=Factory(dict))
    over: int | None = option(
        "Examples over which weights move to `weight_end`, such as `steps * batch` of the training.",
        unit="examples",
        default=None,
        validator=optional(ge(1)),
    )
    seed: int = option("Seed of the order.", default=0)
    read: tuple[str, ...] = option("The data of the parts, by name.", ref="data", hidden=True, default=())


@variant("data", "dialogues")
@frozen(kw_only=True, repr=False)
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


@variant("segment")
@frozen(kw_only=True, repr=False)
class Segment:
    """A part of made data."""

    examples: int = option("How many examples.", unit="examples", validator=ge(1))


@variant("data", "mqar", runs=False)
@frozen(kw_only=True, repr=False)
class Mqar:
    """Multi-query associative recall: pairs of keys and values, then keys whose values are asked for.

    Arora et al. 2023 (Zoology), section 4 and its published code: keys are ids below `vocab` / 2, values those above;
    the i-th query lies at a distance that is drawn with a power law; only positions of queries are trained.
    """

    vocab: int = option("Number of token ids.", unit="ids", default=8192, validator=ge(4))
    seq_len: int = option("Tokens of one example.", unit="tokens", default=64, validator=ge(4))
    pairs: int = option("Pairs of key and value in an example.", default=8, validator=ge(1))
    power: float = option(
        "The a of the law g^(a - 1) of the gap g before a query; 1 is uniform.", default=0.01, validator=gt(0.0)
    )
    fill: Literal["zeros", "random"] = option(
        "What stands where nothing is asked: id 0, or ids that are drawn evenly.", default="zeros"
    )
    train: Segment = option("What is trained on.", default=Segment(examples=100_000))
    test: Segment = option("What is held out.", default=Segment(examples=3_000))
    seed: int = option("Seed of the examples.", default=0)
