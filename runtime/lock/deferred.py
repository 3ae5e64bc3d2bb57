"""Rules that wait for the file of a tokenizer or the configuration of weights: kept where a lock is written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import HfWeights, Transformer
from ...spec.model_rules import missing_ids
from ...spec.plan import Node, Plan
from ...spec.train import Train
from ..tokenizers.build import build_tokenizer
from ..weights.architecture import read_architecture
from ..weights.compare import check_same
from ..weights.files import download_config


def check_deferred(plan: Plan, nodes: Iterable[str]) -> None:
    """Raise LmcError for the first training among the nodes whose model does not fit what it starts from or reads.

    LM0406 for a vocabulary, LM0713 and LM0714 for weights, LM0701 and LM0702 for files, and as `build_tokenizer` does.
    """
    root = Path(plan.header.root)
    sizes: dict[str, int] = {}
    seen = set()
    for node_id in nodes:
        spec = plan.nodes[node_id].spec
        if not isinstance(spec, Train):
            continue
        model, data = plan.nodes[spec.model], plan.nodes[spec.data]
        readers = (getattr(model.spec, "tokenizer", None), getattr(data.spec, "tokenizer", None))
        if (model.id, *readers) in seen or not isinstance(model.spec, Transformer):
            continue
        seen.add((model.id, *readers))
        for tokenizer in dict.fromkeys(reader for reader in readers if reader is not None):
            if tokenizer not in sizes:
                sizes[tokenizer] = _size(plan.nodes[tokenizer].spec, root)
        _check(model, [sizes[reader] for reader in readers if reader is not None], root)


def _size(tokenizer: Any, root: Path) -> int:
    known: int | None = tokenizer.vocab
    return build_tokenizer(tokenizer, root).vocab_size if known is None else known


def _check(model: Node, sizes: list[int], root: Path) -> None:
    spec: Transformer = model.spec
    if spec.vocab is None and sizes:
        spec = evolve(spec, vocab=sizes[0])
    place = model.place
    at = None if place is None else (place.path, place.line, place.column, place.text)
    message = next(filter(None, map(partial(missing_ids, spec.vocab), sizes)), "")
    if message:
        help = "drop the model's `vocab`, or set its tokenizer"
        raise LmcError(Diagnostic("LM0406", message, None, help=help), at)
    if spec.weights is not None and spec.vocab is not None:
        try:
            check_same(spec, read_architecture(_configured(spec.weights, root)), spec.weights.repo or "the folder")
        except LmcError as error:
            raise LmcError(error.diagnostic, error.place or at) from error


def _configured(weights: HfWeights, root: Path) -> Path:
    """Return a folder that holds the configuration of weights."""
    if weights.repo is None:
        return root / (weights.folder or "")
    return download_config(weights.repo, weights.commit or weights.revision)
