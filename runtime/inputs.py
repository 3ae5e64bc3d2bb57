"""Files that nodes read: which they are, whether they are there, and the digest of their bytes."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan, references
from ..spec.schema import fields, hints, members
from ..spec.store import People, Sqlite
from ..spec.units import FilePath, Glob
from .store.digest import inputs_digest


def files_of(spec: Any, root: Path) -> list[Path]:
    """Return the files that a spec reads, sorted by code point.

    Raises LmcError (LM0701) for a file that is not there and for a pattern that matches none.
    """
    found: list[Path] = []
    for name in fields(type(spec)):
        value = getattr(spec, name)
        if isinstance(value, Glob):
            found += expand(value, root)
        elif FilePath in members(hints(type(spec))[name]) and value is not None and not is_made(spec):
            found.append(existing(root / value))
        elif isinstance(value, dict):
            found += [path for item in value.values() if isinstance(item, People) for path in files_of(item, root)]
    return sorted(found)


def is_made(spec: Any) -> bool:
    """Whether a spec is a database that a run makes instead of reads."""
    return isinstance(spec, Sqlite) and any(isinstance(table, People) for table in spec.tables.values())


def expand(pattern: Glob, root: Path) -> list[Path]:
    """Return the files that a pattern matches, sorted by code point. Raises LmcError (LM0701) for none."""
    paths = sorted(glob.glob(str(root / pattern.pattern)))
    if not paths:
        raise LmcError(
            Diagnostic("LM0701", f"no file matches `{pattern.pattern}`", None, help=f"patterns are relative to {root}")
        )
    return [Path(path) for path in paths]


def existing(path: Path) -> Path:
    """Return `path`. Raises LmcError (LM0701) if it is no readable file."""
    if not path.is_file():
        raise LmcError(Diagnostic("LM0701", f"file `{path}` does not exist", None, help="check the path"))
    return path


@define
class InputDigests:
    """By node, the digest of the bytes of every file that it or its ancestors read."""

    plan: Plan
    known: dict[str, str] = Factory(dict)

    def of(self, node_id: str) -> str:
        """Return the digest of a node's inputs. Raises LmcError (LM0701) for a missing file."""
        if node_id not in self.known:
            spec = self.plan.nodes[node_id].spec
            own = files_of(spec, Path(self.plan.header.root))
            self.known[node_id] = inputs_digest(own, [self.of(i) for i in references(spec)])
        return self.known[node_id]
