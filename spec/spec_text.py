"""Specs as canonical JSON, field by field: the text of `unstructure(spec)`, with nested blocks written once."""

from __future__ import annotations

from functools import cache
from typing import Any

from .canonical import Members, Texts, canonical_json, members
from .plain import unstructure
from .schema import fields

TAGS = ("kind", "variant")


def spec_text(spec: Any, texts: Texts) -> str:
    """Return a registered spec as canonical JSON."""
    cls: Any = type(spec)
    which = _members(cls)
    kept, values = texts.of(which), which.read(spec)
    try:
        found = [known[id(value)][1] for known, value in zip(kept, values, strict=True)]
    except KeyError:
        for head, known, value in zip(which.heads, kept, values, strict=True):
            if id(value) not in known:
                known[id(value)] = (value, head + _text(value, texts))
        found = [known[id(value)][1] for known, value in zip(kept, values, strict=True)]
    return "{" + ",".join(found) + "}"


@cache
def _members(cls: Any) -> Members:
    return members({**{name: name for name in fields(cls)}, **{tag: f"lmc_{tag}" for tag in TAGS}})


def _text(value: Any, texts: Texts) -> str:
    return spec_text(value, texts) if hasattr(type(value), "lmc_kind") else canonical_json(unstructure(value))
