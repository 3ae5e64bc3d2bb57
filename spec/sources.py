"""Where the documents of a text come from, besides files of plain text: the variants of `data : text { source }`."""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

from .schema import option, variant
from .units import FilePath, Glob

Format = Literal["text", "jsonl", "parquet"]
SHA256 = re.compile(r"[0-9a-f]{64}")


@variant("source", "jsonl")
@frozen(kw_only=True, repr=False)
class Jsonl:
    """One document a line, each a JSON object (JSON Lines)."""

    files: FilePath | Glob | tuple[FilePath, ...] = option("UTF-8 files, read in order; `.gz` is unpacked.")
    field: str = option("The member of each object that holds the text.", default="text")


@variant("source", "parquet")
@frozen(kw_only=True, repr=False)
class Parquet:
    """One document a row of Apache Parquet; needs the extra `data`."""

    files: FilePath | Glob | tuple[FilePath, ...] = option("Files, read in order.")
    field: str = option("The column that holds the text.", default="text")


@variant("source", "url")
@frozen(kw_only=True, repr=False)
class Url:
    """A file that is downloaded once to the user's cache; its digest says which bytes are meant."""

    at: str = option("Address: https://, http:// or file://.", identity=False)
    sha256: str = option("SHA-256 of the file in hex.")
    format: Format = option("What the file holds.", default="text")
    field: str = option("Where the text of a document is, in `jsonl` and `parquet`.", default="text")


@variant("source", "hf")
@frozen(kw_only=True, repr=False)
class HfDataset:
    """A data set as the datasets library reads it; needs the extra `data`."""

    repo: str | None = option("Repository on the Hugging Face hub.", default=None)
    folder: FilePath | None = option("A folder on disk.", default=None)
    name: str | None = option("Configuration of the data set.", default=None)
    split: str = option("Split, with the slices of the library (`train[:1%]`).", default="train")
    field: str = option("The column that holds the text.", default="text")
    revision: str | None = option("Commit, tag or branch of `repo`; none: the newest.", default=None)
    commit: str | None = option("Commit that a lock says.", hidden=True, identity=False, default=None)


Source = FilePath | Glob | tuple[FilePath, ...] | Jsonl | Parquet | Url | HfDataset


def several(source: Source) -> bool:
    """Whether a source may hold more than one document."""
    return not (isinstance(source, str) or (isinstance(source, Url) and source.format == "text"))
