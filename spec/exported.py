"""A spec as other programs read it: plain JSON values, references by the names of blocks, no secrets.

A block becomes {"kind": ..., "variant": ..., field: value, ...} as the codec writes it, without the fields that the
compiler fills for itself; `lmc.spec.json_schema` describes the same fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from .codec import unstructure
from .schema import SPELLINGS, fields, kind_of, variant_of

_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/]*@", re.IGNORECASE)
_SPELT = {name: written for written, name in SPELLINGS.items()}


def exported(spec: Any, named: Callable[[str], str]) -> dict[str, Any]:
    """Return a registered spec as plain JSON values; `named` gives the name of what a node id stands for."""
    cls: Any = type(spec)
    found: dict[str, Any] = {"kind": kind_of(cls), "variant": variant_of(cls)}
    for name in visible(cls):
        value = getattr(spec, name)
        reference = fields(cls)[name].metadata["ref"]
        found[spelt(name)] = _renamed(value, named) if reference else _plain(value, named)
    return found


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


def _plain(value: Any, named: Callable[[str], str]) -> Any:
    if hasattr(type(value), "lmc_kind"):
        return exported(value, named)
    if isinstance(value, dict):
        return {key: _plain(item, named) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item, named) for item in value]
    if isinstance(value, str):
        return without_password(value)
    plain = unstructure(value)
    return _plain(plain, named) if isinstance(plain, dict) else plain
