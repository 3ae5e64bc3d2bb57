"""Specs and parts of plans as plain JSON values; a registered spec says its kind and variant."""

from __future__ import annotations

from typing import Any

import attrs

from .expr import Expr
from .schema import fields, kind_of, variant_of

SCALARS = frozenset({str, int, float, bool, type(None)})


def unstructure(value: Any) -> Any:
    """Return plain JSON values (dicts, lists, strings, numbers, booleans, None)."""
    cls: Any = type(value)
    if cls in SCALARS:
        return value
    if isinstance(value, dict):
        return {key: unstructure(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [unstructure(item) for item in value]
    if isinstance(value, Expr):
        return {"tree": value.tree, "text": value.text}
    if not attrs.has(cls):
        return value
    tag = {"kind": kind_of(cls), "variant": variant_of(cls)} if hasattr(cls, "lmc_kind") else {}
    return {**tag, **{name: unstructure(getattr(value, name)) for name in fields(cls)}}
