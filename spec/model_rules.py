"""Cross-checks of a model: heads, positions, vocabulary and the weights that it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .init import InitMuP
from .model import Alibi, Attention, HfWeights, Llama3Scaling, Residual, Rope, Transformer, YarnScaling
from .recall_rules import mixer_violations
from .violation import Lookup, Violation


def model_violations(spec: Transformer | Residual, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a model breaks."""
    yield from _attention(spec)
    yield from mixer_violations(spec)
    yield from _vocabulary(spec, lookup)
    if isinstance(spec, Transformer):
        yield from _weights(spec)


def _attention(spec: Transformer | Residual) -> Iterator[Violation]:
    mixer = spec.mixer
    if not isinstance(mixer, Attention):
        if isinstance(spec.positions, Alibi):
            message = "`alibi` lowers scores of attention, and the mixer has none"
            yield Violation("LM0309", message, ("positions", "mixer"), "use attention, or positions : learned or nope")
        return
    if mixer.sinks and mixer.window is None:
        message = "`sinks` are seen beside a `window`, and there is none"
        yield Violation("LM0309", message, ("mixer.sinks",), "set mixer.window, or drop `sinks`")
    if spec.width % mixer.heads and mixer.head_dim is None:
        message = f"{mixer.heads} heads do not divide width {spec.width}"
        yield Violation("LM0401", message, ("mixer.heads", "width"), "choose heads that divide the width")
    elif mixer.kv_heads == 0 or mixer.heads % mixer.kv_heads:
        message = f"{mixer.kv_heads} kv heads do not divide {mixer.heads} heads"
        yield Violation("LM0403", message, ("mixer.kv_heads", "mixer.heads"), "choose kv_heads that divide heads")
    elif isinstance(spec.positions, Rope) and mixer.head_size(spec.width) % 2:
        if mixer.head_dim is None:
            message = f"rope needs an even head size; {spec.width} channels over {mixer.heads} heads give "
            help = "choose heads so that width / heads is even"
            yield Violation("LM0405", message + str(spec.width // mixer.heads), ("mixer.heads", "width"), help)
        else:
            message = f"rope needs an even head size, not {mixer.head_dim}"
            yield Violation("LM0405", message, ("mixer.head_dim",), "choose an even one")
    if isinstance(spec.positions, Rope):
        yield from _rope(spec.positions)


def _rope(rope: Rope) -> Iterator[Violation]:
    scaling = rope.scaling
    if isinstance(scaling, Llama3Scaling | YarnScaling) and scaling.low >= scaling.high:
        paths = ("positions.scaling.low", "positions.scaling.high")
        message = f"`low` is {scaling.low:g} and `high` is {scaling.high:g}; `high` must be more"
        yield Violation("LM0303", message, paths, "Llama 3 has low = 1, high = 4; YaRN 1 and 32")
    if isinstance(scaling, YarnScaling) and scaling.ramp == "index" and rope.theta <= 1:
        message = f"`theta` is {rope.theta:g}; frequencies must fall for a ramp over their numbers"
        yield Violation("LM0303", message, ("positions.theta", "positions.scaling.ramp"), "set theta = 10k")


def _vocabulary(spec: Transformer | Residual, lookup: Lookup) -> Iterator[Violation]:
    if spec.tokenizer is None:
        if spec.vocab is None:
            yield Violation("LM0209", "a model without a tokenizer needs `vocab`", ("vocab",), "set `vocab`")
        return
    message = missing_ids(spec.vocab, lookup(spec.tokenizer).vocab)
    if message:
        yield Violation("LM0406", message, ("vocab", "tokenizer"), "drop `vocab` to have it derived")


def _weights(spec: Transformer) -> Iterator[Violation]:
    weights = spec.weights
    if isinstance(weights, HfWeights):
        paths = ("weights.folder", "weights.repo")
        if (weights.folder is None) == (weights.repo is None):
            what = "both `folder` and `repo` are set" if weights.repo else "neither `folder` nor `repo` is set"
            yield Violation("LM0309", what, paths, "set exactly one of folder and repo")
        elif weights.folder is not None and weights.revision is not None:
            message = "`revision` is of a `repo`; a folder has none"
            yield Violation("LM0309", message, ("weights.revision",), "drop `revision`")
        if isinstance(spec.init, InitMuP):
            message = "`mup` multiplies scores and logits, for which published weights were not trained"
            yield Violation("LM0407", message, ("init.base", *paths), "drop `weights`, or choose another `init`")


def missing_ids(vocab: int | None, needed: int | None) -> str:
    """Return what is wrong with a model of `vocab` ids under a tokenizer of `needed`; "" if nothing or unknown."""
    if vocab is None or needed is None or vocab >= needed:
        return ""
    return f"the tokenizer has {needed:,} ids; the model has {vocab:,}"


def too_long(model: Transformer, data: Any) -> str:
    """Return what is wrong with texts of a data set for a model that has learned its positions; "" if nothing."""
    if model.longest is None or data.seq_len <= model.longest:
        return ""
    return f"texts of the data have up to {data.seq_len:,} tokens; the model has learned {model.longest:,} positions"
