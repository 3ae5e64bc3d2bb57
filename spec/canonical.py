"""Canonical JSON: sorted keys, no spaces, shortest round-trip floats; NaN and infinity are refused.

`Texts` keeps the text of nested values, which thousands of runs of a grid share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

from attrs import Factory, define

_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_SCALARS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}


def canonical_json(value: Any) -> str:
    """Return plain JSON values as canonical JSON."""
    write = _SCALARS.get(type(value))
    return _ENCODE(value) if write is None else write(value)


def object_text(parts: Iterable[tuple[str, str]]) -> str:
    """Return the object of members that are sorted by name and whose values are text already."""
    return "{" + ",".join([f'"{name}":{text}' for name, text in parts]) + "}"


@define(eq=False)
class Texts:
    """Texts of values that are met again; each is kept with its value, so that no other takes its place in memory."""

    kept: dict[tuple[int, int], tuple[Any, Any, str]] = Factory(dict)

    def once(self, value: Any, beside: Any, write: Callable[[Any, Any], str]) -> str:
        """Return write(value, beside), computed once per pair of objects."""
        key = (id(value), id(beside))
        found = self.kept.get(key)
        if found is None:
            found = self.kept[key] = (value, beside, write(value, beside))
        return found[2]
