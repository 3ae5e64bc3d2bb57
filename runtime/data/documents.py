"""Documents: what a source of text holds, read in order, and what its content is known by."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.canonical import canonical_json
from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.sources import HfDataset, Jsonl, Parquet, Source, Url
from ...spec.units import FilePath, Glob
from ..extras import library
from ..inputs import existing, expand, files_below, read_text
from ..registry import BUILDERS, builds
from ..store.digest import file_sha256
from .download import fetched

EXTRA = "data"


@frozen(eq=False)
class Documents:
    """A source that is there.

    Attributes:
        name: what messages call it.
        key: SHA-256 of what its documents are, in hex: how they are read, and the bytes that are.
        size: bytes of its files, 0 if unknown; packed ones hold more text.
        read: yields every document from the first. Raises LmcError (LM0702) for a damaged one.
    """

    name: str
    key: str
    size: int
    read: Callable[[], Iterator[str]]


def documents_of(source: Source, root: Path) -> Documents:
    """Return the documents of a source.

    Raises LmcError: LM0701 for a missing file, LM0709 without the library of an extra, LM0717 for what cannot
    be loaded.
    """
    if isinstance(source, str | tuple | Glob):
        paths = _paths(source, root)
        return _in_files(paths, ["text"], lambda: map(read_text, paths))
    found: Documents = BUILDERS[type(source)](source, root)
    return found


@builds(Jsonl)
def jsonl(source: Jsonl, root: Path) -> Documents:
    """Return the documents of JSON Lines."""
    paths = _paths(source.files, root)
    return _in_files(paths, ["jsonl", source.field], lambda: _lines(paths, source.field))


@builds(Parquet)
def parquet(source: Parquet, root: Path) -> Documents:
    """Return the rows of Parquet files. Raises LmcError (LM0709) without pyarrow."""
    reader = library("pyarrow.parquet", EXTRA, "Parquet")
    paths = _paths(source.files, root)
    return _in_files(paths, ["parquet", source.field], lambda: _rows(reader, paths, source.field))


@builds(Url)
def url(source: Url, root: Path) -> Documents:
    """Return the documents of a file that is downloaded unless it was before."""
    path = FilePath(str(fetched(source.at, source.sha256)))
    if source.format == "text":
        return documents_of(path, root)
    if source.format == "jsonl":
        return jsonl(Jsonl(files=path, field=source.field), root)
    return parquet(Parquet(files=path, field=source.field), root)


@builds(HfDataset)
def hf(source: HfDataset, root: Path) -> Documents:
    """Return the rows of a data set of the datasets library. Raises LmcError (LM0709) without it."""
    datasets = library("datasets", EXTRA, "a data set of Hugging Face")
    name = str(source.repo or source.folder)
    place = source.repo if source.folder is None else str(root / source.folder)
    try:
        revision = source.commit or source.revision
        rows = datasets.load_dataset(place, source.name, split=source.split, revision=revision)
    except Exception as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        help = "check its name, configuration and split, and the connection"
        raise LmcError(
            Diagnostic("LM0717", f"data set `{name}` cannot be loaded: {reason}", None, help=help)
        ) from error
    if source.field not in rows.column_names:
        raise _no_field(name, source.field, rows.column_names)
    content = [rows._fingerprint] if source.folder is None else _digests(files_below(source.folder, root))
    key = _key(["hf", source.name, source.split, source.field, *content])

    def read() -> Iterator[str]:
        for batch in rows.iter(batch_size=1024):
            yield from _checked(batch[source.field], name, source.field)

    return Documents(name, key, int(rows.dataset_size or 0), read)


def _paths(files: FilePath | Glob | tuple[FilePath, ...], root: Path) -> list[Path]:
    if isinstance(files, Glob):
        return expand(files.pattern, root)
    return [existing(root / path) for path in ((files,) if isinstance(files, str) else files)]


def _in_files(paths: Sequence[Path], how: list[str], read: Callable[[], Iterator[str]]) -> Documents:
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return Documents(name, _key([*how, *_digests(paths)]), sum(path.stat().st_size for path in paths), read)


def _digests(paths: Sequence[Path]) -> list[str]:
    return [file_sha256(path) for path in paths]


def _key(parts: list[str | None]) -> str:
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def _lines(paths: Sequence[Path], field: str) -> Iterator[str]:
    for path in paths:
        for number, line in _numbered(path):
            place = f"{path}:{number}"
            try:
                text = line.decode()
                blank = text.isspace()
                value = None if blank else json.loads(text)
            except ValueError as error:
                message = f"`{place}` is no JSON object: {error}"
                raise LmcError(Diagnostic("LM0702", message, None, help="write one object a line, as UTF-8")) from error
            if not blank:
                yield _member(value, field, place)


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with _opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"`{path}:{number + 1}` cannot be unpacked: {error}"
            raise LmcError(Diagnostic("LM0702", message, None, help="pack or fetch the file again")) from error


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _member(value: Any, field: str, place: str) -> str:
    if not isinstance(value, dict) or field not in value:
        known = sorted(value) if isinstance(value, dict) else []
        raise _no_field(place, field, known)
    return next(_checked([value[field]], place, field))


def _rows(reader: Any, paths: Sequence[Path], field: str) -> Iterator[str]:
    for path in paths:
        try:
            file = reader.ParquetFile(path)
        except (OSError, ValueError) as error:
            message = f"`{path}` is no Parquet file: {str(error).splitlines()[0]}"
            raise LmcError(Diagnostic("LM0702", message, None)) from error
        with file:
            if field not in file.schema_arrow.names:
                raise _no_field(str(path), field, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=1024, columns=[field]):
                yield from _checked(batch.column(0).to_pylist(), str(path), field)


def _checked(values: Any, place: str, field: str) -> Iterator[str]:
    for value in values:
        if not isinstance(value, str):
            message = f"`{field}` of `{place}` holds {type(value).__name__}, not text"
            raise LmcError(Diagnostic("LM0702", message, None, help="name the field that holds the text"))
        try:
            value.encode()
        except UnicodeEncodeError as error:
            message = f"`{field}` of `{place}` holds half of a surrogate pair, which is no text"
            raise LmcError(Diagnostic("LM0702", message, None, help="write both halves, or U+FFFD")) from error
        yield value


def _no_field(place: str, field: str, known: Sequence[str]) -> LmcError:
    help = f"it has {', '.join(known)}" if known else "each line is one JSON object"
    return LmcError(Diagnostic("LM0702", f"`{place}` has no field `{field}`", None, help=help))
