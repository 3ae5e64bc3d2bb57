"""Canonical JSON: sorted keys, no spaces, shortest round-trip floats; NaN and infinity are refused.

Thousands of specs of a grid share most of their values. `Texts` keeps the text of a field's value by the object, so
that a spec is written by joining what is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any

from attrs import Factory, define, frozen

_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _float_text(value: float) -> str:
    return repr(value) if math.isfinite(value) else _ENCODE(value)


_SCALARS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    float: _float_text,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}


def canonical_json(value: Any) -> str:
    """Return plain JSON values as canonical JSON."""
    write = _SCALARS.get(type(value))
    return _ENCODE(value) if write is None else write(value)


def object_text(values: Mapping[str, Any]) -> str:
    """Return an object as canonical JSON."""
    return "{" + ",".join([f"{encode_basestring(key)}:{canonical_json(values[key])}" for key in sorted(values)]) + "}"


@frozen(eq=False)
class Members:
    """What the text of a class's objects has, sorted by name.

    Attributes:
        heads: how each begins, `"name":`. read: gives the values of all of an object.
    """

    heads: tuple[str, ...]
    read: Callable[[Any], tuple[Any, ...]]


def members(attributes: Mapping[str, str]) -> Members:
    """Return the members of a text from two or more attributes, by the names of the members."""
    ordered = sorted(attributes.items())
    heads = tuple(f"{encode_basestring(name)}:" for name, _ in ordered)
    return Members(heads, attrgetter(*[attribute for _, attribute in ordered]))


@define(eq=False)
class Texts:
    """Texts of members by the objects that are their values; each object is kept, so that its id stays its own."""

    kept: dict[Members, tuple[dict[int, tuple[Any, str]], ...]] = Factory(dict)

    def of(self, which: Members) -> tuple[dict[int, tuple[Any, str]], ...]:
        """Return what is kept of each member."""
        found = self.kept.get(which)
        if found is None:
            found = self.kept[which] = tuple([{} for _ in which.heads])
        return found
