"""Specs as canonical JSON, field by field: the text of `unstructure(spec)`, with nested blocks written once."""

from __future__ import annotations

from functools import cache
from typing import Any

from .canonical import Members, Texts, canonical_json, members
from .codec import unstructure
from .schema import fields

TAGS = ("kind", "variant")


def spec_text(spec: Any, texts: Texts) -> str:
    """Return a registered spec as canonical JSON."""
    cls: Any = type(spec)
    which = _members(cls)
    found = []
    for head, kept, value in zip(which.heads, texts.of(which), which.read(spec), strict=True):
        known = kept.get(id(value))
        if known is None:
            known = kept[id(value)] = (value, head + _text(value, texts))
        found.append(known[1])
    return "{" + ",".join(found) + "}"


@cache
def _members(cls: Any) -> Members:
    return members({**{name: name for name in fields(cls)}, **{tag: f"lmc_{tag}" for tag in TAGS}})


def _text(value: Any, texts: Texts) -> str:
    return spec_text(value, texts) if hasattr(type(value), "lmc_kind") else canonical_json(unstructure(value))
