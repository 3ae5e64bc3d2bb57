"""What inputs are called in a lock that only opening tells: vocabularies, and tables that are there already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...spec.exported import without_password
from ...spec.lock import Input
from ...spec.store import Duckdb, Postgres, Sqlite
from ...spec.tokenizer import BpeTokenizer, HfTokenizer, TiktokenTokenizer
from ...spec.units import Env
from ..inputs import is_made
from ..repositories import Repository


def names_opened(spec: Any) -> Iterator[Input]:
    """Yield what the vocabulary or the tables of a spec are called in a lock; nothing where a file says all."""
    if isinstance(spec, TiktokenTokenizer) and spec.encoding is not None:
        yield Input("vocabulary", f"tiktoken/{spec.encoding}")
    elif isinstance(spec, BpeTokenizer):
        pattern = f're"{spec.pattern.text}"' if spec.pattern.regex else spec.pattern.text
        yield Input("vocabulary", f"bpe/{spec.size}/{pattern}/{spec.source}")
    elif isinstance(spec, HfTokenizer) and spec.repo is not None:
        yield Input("vocabulary", f"{Repository('model', spec.repo, spec.revision).input.name}/tokenizer.json")
    elif isinstance(spec, Sqlite | Duckdb | Postgres) and not is_made(spec):
        yield from (table_input(spec, table) for table in spec.tables)


def table_input(spec: Sqlite | Duckdb | Postgres, table: str) -> Input:
    """Return what a table of a store is called in a lock, without a password."""
    if not isinstance(spec, Postgres):
        return Input("schema", f"{spec.file}/{table}")
    place = f"env:{spec.url.name}" if isinstance(spec.url, Env) else without_password(spec.url)
    return Input("schema", f"{place}/{f'{spec.schema}.' if spec.schema else ''}{table}")
