"""A spec as other programs read it: plain JSON values, references by the names of blocks, no secrets.

A block becomes {"kind": ..., "variant": ..., field: value, ...} as the codec writes it, without the fields that the
compiler fills for itself; `lmc.spec.json_schema` describes the same fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .plain import unstructure
from .schema import SPELLINGS, fields, hints, kind_of, members, variant_of
from .units import FilePath, Glob

_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/]*@", re.IGNORECASE)
_SPELT = {name: written for written, name in SPELLINGS.items()}


def exported(spec: Any, named: Callable[[str], str], root: str = "") -> dict[str, Any]:
    """Return a registered spec as plain JSON values; `named` gives the name of what a node id stands for.

    Paths are as `shown_path` gives them for the folder `root`, or as they are without one.
    """
    cls: Any = type(spec)
    found: dict[str, Any] = {"kind": kind_of(cls), "variant": variant_of(cls)}
    for name in visible(cls):
        value = getattr(spec, name)
        if root and name in _paths(cls):
            value = _shown(value, root)
        reference = fields(cls)[name].metadata["ref"]
        found[spelt(name)] = _renamed(value, named) if reference else _plain(value, named, root)
    return found


def shown_path(path: str, root: str) -> str:
    """Return a path, relative to a folder or whole, as it is told: relative to the folder if both share another one.

    What lies elsewhere would be relative to the root of the file system; it is whole.
    """
    whole = os.path.normpath(os.path.join(root, path))
    shared = os.path.commonpath([root, whole])
    return whole if shared == os.path.dirname(shared) else Path(os.path.relpath(whole, root)).as_posix()


@cache
def _paths(cls: Any) -> frozenset[str]:
    """Return the fields of a class whose values may be paths."""
    kinds = {name: members(hints(cls)[name]) for name in fields(cls)}
    return frozenset(name for name, found in kinds.items() if FilePath in found or Glob in found)


def _shown(value: Any, root: str) -> Any:
    if isinstance(value, Glob):
        return Glob(shown_path(value.pattern, root))
    if isinstance(value, tuple):
        return tuple(_shown(item, root) for item in value)
    return shown_path(value, root) if isinstance(value, str) else value


@cache
def visible(cls: type) -> tuple[str, ...]:
    """Return the fields that an export holds: those that can be written, or all of a block that nobody writes."""
    written = tuple(name for name, field in fields(cls).items() if not field.metadata["hidden"])
    return written or tuple(fields(cls))


def spelt(name: str) -> str:
    """Return a field as the language spells it."""
    return _SPELT.get(name, name)


def without_password(text: str) -> str:
    """Return a text in which the passwords of addresses (`scheme://user:password@host`) are stars."""
    return _CREDENTIALS.sub(r"\1:***@", text)


def _renamed(value: Any, named: Callable[[str], str]) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        node_id, slash, part = value.partition("/")
        return f"{named(node_id)}.{part}" if slash else named(node_id)
    return [_renamed(item, named) for item in value]


def _plain(value: Any, named: Callable[[str], str], root: str) -> Any:
    if hasattr(type(value), "lmc_kind"):
        return exported(value, named, root)
    if isinstance(value, dict):
        return {key: _plain(item, named, root) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item, named, root) for item in value]
    if isinstance(value, str):
        return without_password(value)
    plain = unstructure(value)
    return _plain(plain, named, root) if isinstance(plain, dict) else plain
