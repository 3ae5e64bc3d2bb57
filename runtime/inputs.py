"""Files that nodes read: which they are, whether they are there, and the digest of their bytes."""

from __future__ import annotations

import difflib
import glob
import os
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.exported import shown_path
from ..spec.model import HfWeights, Transformer
from ..spec.plan import Plan, references
from ..spec.protocol import PythonProtocol
from ..spec.schema import fields, hints, members
from ..spec.sources import HfDataset, Jsonl, Parquet, Url
from ..spec.store import Duckdb, People, Sqlite
from ..spec.units import FilePath, Glob
from .repositories import commits
from .store.digest import file_sha256, inputs_digest
from .weights.files import weight_files

MOST_LOOKED_AT = 1000
"""Names in a folder among which one is looked for that was meant."""
_NAMING = {Glob, Jsonl, Parquet, Url, HfDataset}


def files_of(spec: Any, root: Path) -> list[Path]:
    """Return the files that a spec reads, sorted by code point.

    Raises LmcError: LM0701 for a file that is not there and for a pattern that matches none, LM0702 for a name that
    no record can hold.
    """
    found = [path for read, written in named_files(spec) for path in read(written, root)]
    if isinstance(spec, PythonProtocol):
        found += module_files(spec.function.partition(":")[0], root)
    return sorted(map(_named, found))


Read = Callable[[str, Path], list[Path]]
"""What finds the files that a written path stands for below a root; raises as `files_of` does."""


def named_files(spec: Any) -> Iterator[tuple[Read, str]]:
    """Yield the paths and patterns that a spec has, relative to the root, each with what finds its files."""
    cls: Any = type(spec)
    for name, may_be_path in _reading(cls):
        value = getattr(spec, name)
        if isinstance(value, Glob):
            yield expand, value.pattern
        elif isinstance(value, Jsonl | Parquet | Url | HfDataset):
            yield from named_files(value)
        elif may_be_path and value is not None and not is_made(spec):
            read = files_below if isinstance(spec, HfDataset) else _one
            yield from ((read, path) for path in ((value,) if isinstance(value, str) else value))
        elif isinstance(value, dict):
            for item in value.values():
                if isinstance(item, People):
                    yield from named_files(item)
    if isinstance(spec, Transformer) and isinstance(spec.weights, HfWeights) and spec.weights.folder is not None:
        yield _weights, spec.weights.folder


def _one(path: str, root: Path) -> list[Path]:
    return [existing(root / path)]


def _weights(folder: str, root: Path) -> list[Path]:
    return weight_files(root / folder)


@frozen
class Absent:
    """An input that is not there: the first node that reads it, its path as the spec has it, and LM0701.

    `near` is the name of a file beside it that may be meant.
    """

    node: str
    path: str
    told: Diagnostic
    near: str | None


def absent(plan: Plan, nodes: Iterable[str]) -> Iterator[Absent]:
    """Yield what nodes read and is not there, each path once."""
    seen: set[tuple[Read, str]] = set()
    for node_id in nodes:
        for read, path in named_files(plan.nodes[node_id].spec):
            if (read, path) in seen:
                continue
            seen.add((read, path))
            try:
                read(path, Path(plan.header.root))
            except LmcError as error:
                if error.diagnostic.code == "LM0701":
                    near = near_name(Path(plan.header.root) / path) if read is _one else None
                    yield Absent(node_id, path, error.diagnostic, near)


def _named(path: Path) -> Path:
    """Return a path. Raises LmcError (LM0702) if it is no text."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise LmcError(
            Diagnostic("LM0702", f"the name of `{shown}` is not UTF-8", None, help="rename the file")
        ) from error
    return path


@cache
def _reading(cls: Any) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a class that may name files, and whether their values may be paths as they are."""
    kinds = {name: members(hints(cls)[name]) for name in fields(cls)}
    return tuple(
        (name, FilePath in found)
        for name, found in kinds.items()
        if FilePath in found or _NAMING & {*found} or typing.get_origin(found[0]) is dict
    )


def files_below(path: str, root: Path) -> list[Path]:
    """Return the files in a folder and in those below it, by path. Raises LmcError (LM0701) if there are none."""
    folder = root / path
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    if not found:
        raise LmcError(
            Diagnostic("LM0701", f"folder `{folder}` does not exist or is empty", None, help="check the path")
        )
    return found


def module_files(name: str, root: Path) -> list[Path]:
    """Return the file of a module if it lies below `root`; one that is installed elsewhere is not read as an input."""
    stem = root.joinpath(*name.split("."))
    return [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()][:1]


def is_made(spec: Any) -> bool:
    """Whether a spec is a database that a run makes instead of reads."""
    return isinstance(spec, Sqlite | Duckdb) and any(isinstance(table, People) for table in spec.tables.values())


def expand(pattern: str, root: Path) -> list[Path]:
    """Return the files that a pattern matches, sorted by code point. Raises LmcError (LM0701) for none."""
    paths = sorted(glob.glob(str(root / pattern)))
    if not paths:
        raise LmcError(
            Diagnostic("LM0701", f"no file matches `{pattern}`", None, help=f"patterns are relative to {root}")
        )
    return [Path(path) for path in paths]


def existing(path: Path) -> Path:
    """Return `path`. Raises LmcError (LM0701) if it is no readable file."""
    if not path.is_file():
        near = near_name(path)
        help = "check the path" if near is None else f"did you mean `{near}`?"
        raise LmcError(Diagnostic("LM0701", f"file `{path}` does not exist", None, help=help))
    return path


def near_name(path: Path) -> str | None:
    """Return the name of the file beside a path whose name is spelt most like it; None if none is."""
    try:
        beside = {entry.name.lower(): entry.name for entry in islice(os.scandir(path.parent), MOST_LOOKED_AT)}
    except OSError:
        return None
    near = difflib.get_close_matches(path.name.lower(), sorted(beside), 1)
    return beside[near[0]] if near else None


def read_text(path: Path) -> str:
    """Return a file's text. Raises LmcError: LM0701 if it is not there, LM0702 if it is not UTF-8."""
    try:
        return existing(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise LmcError(Diagnostic("LM0702", f"`{path}` is not UTF-8: {error.reason}", None)) from error


@define
class InputDigests:
    """By node, the digest of all that it, or what its identity covers, reads: bytes of files, commits of a lock."""

    plan: Plan
    known: dict[str, str] = Factory(dict)
    read: dict[str, dict[str, str]] = Factory(dict)
    root: Path = Factory(lambda self: Path(self.plan.header.root), takes_self=True)

    def of(self, node_id: str) -> str:
        """Return the digest of a node's inputs. Raises LmcError (LM0701) for a missing file."""
        if node_id not in self.known:
            spec = self.plan.nodes[node_id].spec
            upstream = [self.of(i) for i in references(spec, meant=True)]
            self.known[node_id] = inputs_digest(self._paths(node_id), [*commits(spec).values(), *upstream])
        return self.known[node_id]

    def files(self, node_id: str) -> dict[str, str]:
        """Return what a node's digest covers, by path or repository: SHA-256 of files, and commits that a lock says.

        Paths are as `shown_path` tells them.
        """
        if node_id not in self.read:
            spec = self.plan.nodes[node_id].spec
            found = {**self.own_files(node_id), **commits(spec)}
            for other in references(spec, meant=True):
                found |= self.files(other)
            self.read[node_id] = dict(sorted(found.items()))
        return self.read[node_id]

    def own_files(self, node_id: str) -> dict[str, str]:
        """Return the SHA-256 of the files that a node itself reads, by path. Raises LmcError (LM0701)."""
        return {shown_path(str(path), str(self.root)): file_sha256(path) for path in self._paths(node_id)}

    def _paths(self, node_id: str) -> list[Path]:
        """Return the files that a node itself reads. Raises as `files_of` does, at the block of the node."""
        node = self.plan.nodes[node_id]
        try:
            return files_of(node.spec, self.root)
        except LmcError as error:
            at = node.place
            place = None if at is None else (at.path, at.line, at.column, at.text)
            raise LmcError(error.diagnostic, error.place or place) from error
