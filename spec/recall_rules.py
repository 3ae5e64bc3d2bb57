"""Cross-checks of made recall data, of models that read ids without a tokenizer, and of mixers that reach so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .data import Mqar
from .mixers import Based, Hyena
from .violation import Violation


def recall_violations(spec: Mqar) -> Iterator[Violation]:
    """Yield the rules that the data break: room for pairs and queries, ids for keys and values."""
    if 4 * spec.pairs > spec.seq_len or spec.seq_len % 2:
        message = f"{spec.pairs} pairs and their queries do not fit into {spec.seq_len} tokens"
        yield Violation("LM0303", message, ("pairs", "seq_len"), "seq_len is even and at least 4 * pairs")
    if spec.pairs > spec.vocab // 2 - 1:
        message = f"{spec.vocab:,} ids hold {spec.vocab // 2 - 1:,} keys, fewer than {spec.pairs} pairs"
        yield Violation("LM0303", message, ("vocab", "pairs"), "raise vocab")


def reading_violations(model: Any, data: Any) -> Iterator[Violation]:
    """Yield what is wrong with a model for made data, and with filters that reach less far than the texts."""
    if isinstance(data, Mqar) and model.tokenizer is not None:
        yield Violation("LM0406", "the data have no tokenizer, the model has one", ("model", "data"), "set model.vocab")
    elif isinstance(data, Mqar) and model.vocab is not None and model.vocab < data.vocab:
        message = f"the data have {data.vocab:,} ids; the model has {model.vocab:,}"
        yield Violation("LM0406", message, ("model:vocab", "data:vocab"), "write vocab = DATA.vocab in the model")
    mixer = model.mixer
    if isinstance(mixer, Hyena) and mixer.l_max < data.seq_len:
        message = f"texts of the data have up to {data.seq_len:,} tokens; filters reach {mixer.l_max:,}"
        yield Violation("LM0303", message, ("model:mixer.l_max", "data:seq_len"), "write l_max = data.seq_len")


def mixer_violations(model: Any) -> Iterator[Violation]:
    """Yield what is wrong with a mixer for its model."""
    mixer = model.mixer
    if isinstance(mixer, Based) and model.width % mixer.heads:
        message = f"{mixer.heads} heads do not divide width {model.width}"
        yield Violation("LM0401", message, ("mixer.heads", "width"), "choose heads that divide the width")
