"""What only opening tells: vocabularies of tokenizers, and the columns of tables that are there already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.lock import Input, Lock, short
from ...spec.tokenizer import BpeTokenizer, HfTokenizer, TiktokenTokenizer
from ..inputs import read_text
from ..store.digest import file_sha256
from ..stores.base import Database
from ..stores.open import open_store
from ..tokenizers.base import Tokenizer
from ..tokenizers.build import build_tokenizer
from ..tokenizers.hf import download
from ..tokenizers.ranks import Ranks, ranks_text
from ..tokenizers.splits import split, split_pattern
from ..tokenizers.train_bpe import train_bpe
from .names import names_opened, table_input


def opened(spec: Any, root: Path) -> dict[Input, str]:
    """Return what a spec's vocabulary or tables are, opened for it; a vocabulary that a run trains is trained.

    Raises LmcError as `build_tokenizer` and `open_store` do.
    """
    if not list(names_opened(spec)):
        return {}
    if isinstance(spec, BpeTokenizer):
        ranks = train_bpe(split(split_pattern(spec.pattern), read_text(root / spec.source)), spec.size)
        return dict.fromkeys(names_opened(spec), _sha256(ranks_text(ranks)))
    if isinstance(spec, TiktokenTokenizer | HfTokenizer):
        return vocabulary_of(spec, build_tokenizer(spec, root))
    return schema_of(spec, open_store(spec, root, root))


def vocabulary_of(spec: Any, tokenizer: Tokenizer) -> dict[Input, str]:
    """Return the digest of a tokenizer's vocabulary: of its `tokenizer.json`, or of its ranks in tiktoken's format."""
    if isinstance(spec, HfTokenizer) and spec.repo is not None:
        value = f"sha256:{file_sha256(download(spec.repo, spec.commit or spec.revision))}"
    else:
        ranks: Ranks = {text: n for n, text in enumerate(tokenizer.vocabulary()) if text is not None}
        value = _sha256(ranks_text(ranks))
    return dict.fromkeys(names_opened(spec), value)


def schema_of(spec: Any, database: Database) -> dict[Input, str]:
    """Return the digest of each described table's columns and types, in the order of their names."""
    found = {}
    for table in spec.tables:
        columns = sorted(database.source.columns(table))
        found[table_input(spec, table)] = _sha256("".join(f"{name}\t{kind}\n" for name, kind in columns))
    return found


def check_opened(lock: Lock, found: Mapping[Input, str]) -> None:
    """Raise LmcError (LM0718), at the line of the lock, for the first of these that is not what it says."""
    for item, value in found.items():
        said = lock.values.get(item, value)
        if said != value:
            message = f"{item} is now {short(value)}, and the lock says {short(said)}"
            help = "put back what was locked, or accept what is there: lmc lock"
            span = lock.places.get(item)
            place = None if span is None else (span.source.path, span.line, span.column, span.text)
            raise LmcError(Diagnostic("LM0718", message, None, help=help), place)


def _sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
