"""Specs as canonical JSON, field by field: the text of `unstructure(spec)`, with nested blocks written once."""

from __future__ import annotations

from functools import cache
from typing import Any

from .canonical import Texts, canonical_json, object_text
from .codec import unstructure
from .schema import fields

TAGS = ("kind", "variant")


def spec_text(spec: Any, texts: Texts) -> str:
    """Return a registered spec as canonical JSON."""
    cls: Any = type(spec)
    return object_text(
        [(name, _text(getattr(spec, name), texts) if tag is None else tag) for name, tag in _members(cls)]
    )


@cache
def _members(cls: Any) -> tuple[tuple[str, str | None], ...]:
    """Return the members of a spec's text, sorted by name; kind and variant with their text."""
    found: list[tuple[str, str | None]] = [(name, None) for name in fields(cls)]
    found += [(name, canonical_json(getattr(cls, f"lmc_{name}"))) for name in TAGS]
    return tuple(sorted(found))


def _text(value: Any, texts: Texts) -> str:
    cls = type(value)
    if value is None or cls is str or cls is int or cls is float or cls is bool:
        return canonical_json(value)
    if value == ():
        return "[]"
    if hasattr(cls, "lmc_kind"):
        return texts.once(value, None, lambda block, _: spec_text(block, texts))
    return texts.once(value, None, lambda held, _: canonical_json(unstructure(held)))
