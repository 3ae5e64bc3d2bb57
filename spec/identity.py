"""Identity: a node id is a hash of what the node means.

id = base32(blake2b-80 of canonical JSON of kind, variant, revision, and the identity fields that differ
from their neutral value); references are ids of other nodes, so the whole ancestry is covered.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs

from .expr import Expr
from .schema import fields

_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, no spaces and shortest round-trip floats; NaN and infinity are refused."""
    return _ENCODE(value)


def identity(spec: Any, neutral: Mapping[str, Any] | None = None) -> str:
    """Return the node id of a registered spec: 16 characters of lower-case base32.

    Args:
        spec: instance of a registered variant whose references are node ids.
        neutral: by dotted path, the value that a derived default has in this run.
    """
    text = canonical_json(meaning(spec, neutral or {}))
    return base64.b32encode(hashlib.blake2b(text.encode(), digest_size=10).digest()).decode().lower()


def meaning(spec: Any, neutral: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the part of a spec that its identity covers, as plain JSON values."""
    cls: Any = type(spec)
    found: dict[str, Any] = {"kind": cls.lmc_kind, "variant": cls.lmc_variant, "revision": cls.lmc_revision}
    for name, default, derived in _identity_fields(cls):
        value = getattr(spec, name)
        path = prefix + name
        if (derived and path in neutral and value == neutral[path]) or (not derived and _same(value, default)):
            continue
        plain = _plain(value, neutral, path + ".")
        if type(value) is type(default) and attrs.has(type(value)) and _untouched(plain):
            continue
        found[name] = plain
    return found


def wording(value: Any) -> Any:
    """Return what a value says, as plain JSON values, whether or not an identity covers it.

    Of a spec these are the fields that differ from their neutral value.
    """
    cls: Any = type(value)
    if not hasattr(cls, "lmc_kind"):
        return _plain(value, {}, "")
    found: dict[str, Any] = {"kind": cls.lmc_kind, "variant": cls.lmc_variant}
    for name, field in fields(cls).items():
        if not field.metadata["hidden"] and not _same(getattr(value, name), _neutral(field)):
            found[name] = wording(getattr(value, name))
    return found


@cache
def _identity_fields(cls: type) -> tuple[tuple[str, Any, bool], ...]:
    return tuple(
        (name, _neutral(field), bool(field.metadata["derived"]))
        for name, field in fields(cls).items()
        if field.metadata["identity"]
    )


def _neutral(field: attrs.Attribute[Any]) -> Any:
    neutral = field.metadata["neutral"]
    return neutral.factory() if isinstance(neutral, attrs.Factory) else neutral  # type: ignore[arg-type]


def _untouched(plain: Any) -> bool:
    """Whether a nested block says nothing but which variant it is."""
    return isinstance(plain, dict) and plain.keys() == {"kind", "variant", "revision"}


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _plain(value: Any, neutral: Mapping[str, Any], prefix: str) -> Any:
    if isinstance(value, Expr):
        return value.tree
    if attrs.has(type(value)):
        if hasattr(type(value), "lmc_kind"):
            return meaning(value, neutral, prefix)
        return attrs.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item, neutral, f"{prefix}{key}.") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item, neutral, prefix) for item in value]
    return value
