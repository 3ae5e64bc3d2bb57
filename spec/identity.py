"""Identity: a node id is a hash of what the node means.

id = base32(blake2b-80 of canonical JSON of kind, variant, revision, and the identity fields that differ
from their neutral value); references are ids of other nodes, so the whole ancestry is covered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from .canonical import Members, Texts, canonical_json, members, object_text
from .expr import Expr
from .schema import fields, slot

HEAD = ("kind", "revision", "variant")
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
NEVER = object()
"""Equal to no value."""
_NOTHING: Mapping[str, Any] = {}


def identity(spec: Any, neutral: Mapping[str, Any] | None = None, texts: Texts | None = None) -> str:
    """Return the node id of a registered spec: 16 characters of lower-case base32.

    Args:
        spec: instance of a registered variant whose references are node ids.
        neutral: by dotted path, the value that a derived default has in this run.
        texts: texts of nested blocks, for ids of many specs that share them.
    """
    text = meaning(spec, neutral or _NOTHING, texts or Texts())
    return base32(hashlib.blake2b(text.encode(), digest_size=10).digest())


def base32(digest: bytes) -> str:
    """Return 10 bytes as 16 characters of lower-case base32 (RFC 4648), a pair for every ten bits."""
    bits, pairs = int.from_bytes(digest, "big"), _PAIRS
    front = f"{pairs[bits >> 70]}{pairs[bits >> 60 & 1023]}{pairs[bits >> 50 & 1023]}{pairs[bits >> 40 & 1023]}"
    back = f"{pairs[bits >> 30 & 1023]}{pairs[bits >> 20 & 1023]}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023]}"
    return front + back


def meaning(spec: Any, neutral: Mapping[str, Any], texts: Texts, prefix: str = "") -> str:
    """Return the part of a spec that its identity covers, as canonical JSON."""
    cls: Any = type(spec)
    which, covered = _members(cls)
    kept, values = texts.of(which), which.read(spec)
    try:
        found = [known[id(value)][1] for known, value in zip(kept, values, strict=True)]
    except KeyError:
        found = []
        for head, field, known, value in zip(which.heads, covered, kept, values, strict=True):
            there = known.get(id(value))
            if there is not None:
                found.append(there[1])
            elif field.shared:
                text = _member(head, field, value, _NOTHING, texts, "")
                known[id(value)] = (value, text)
                found.append(text)
            else:
                found.append(_member(head, field, value, neutral, texts, prefix))
    return "{" + ",".join(filter(None, found)) + "}"


def _member(head: str, field: Covered, value: Any, neutral: Mapping[str, Any], texts: Texts, prefix: str) -> str:
    """Return the text of a field; where it says nothing, what stands there then."""
    path = prefix + field.name
    default = neutral.get(path, NEVER) if field.derived else field.neutral
    if value == default and (field.derived or type(value) is type(default)):
        return field.unsaid
    text = _text(value, neutral, texts, path + ".")
    cls: Any = type(value)
    said = field.derived or type(value) is not type(default) or text != _untouched(cls)
    return head + text if said else field.unsaid


@frozen(eq=False)
class Covered:
    """A field that an identity covers.

    Attributes:
        neutral: its neutral value. derived: whether that is one of each run instead.
        shared: whether its text is the same in every run. unsaid: the text if it says nothing; of a field
            `revision` that is the revision of the variant.
    """

    name: str
    neutral: Any
    derived: bool
    shared: bool
    unsaid: str = ""


@cache
def _members(cls: Any) -> tuple[Members, tuple[Covered, ...]]:
    """Return what the text of a spec may have."""
    found = {tag: Covered(f"lmc_{tag}", NEVER, derived=False, shared=True) for tag in HEAD}
    heads = {tag: object_text({tag: getattr(cls, f"lmc_{tag}")})[1:-1] for tag in HEAD}
    for name, field in fields(cls).items():
        if field.metadata["identity"]:
            circular = field.metadata["circular"]
            derived = bool(field.metadata["derived"]) and not circular
            shared = not derived and not any(_derives(inner) for inner in slot(cls, name).values())
            found[name] = Covered(name, NEVER if circular else _neutral(field), derived, shared, heads.get(name, ""))
    which = members({name: field.name for name, field in found.items()})
    return which, tuple(found[name] for name in sorted(found))


@cache
def _untouched(cls: Any) -> str:
    """Return the text of a nested block that says nothing but which variant it is; "" for what is no block."""
    return object_text({tag: getattr(cls, f"lmc_{tag}") for tag in HEAD}) if hasattr(cls, "lmc_kind") else ""


def _neutral(field: attrs.Attribute[Any]) -> Any:
    neutral = field.metadata["neutral"]
    return neutral.factory() if isinstance(neutral, attrs.Factory) else neutral  # type: ignore[arg-type]


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _text(value: Any, neutral: Mapping[str, Any], texts: Texts, prefix: str) -> str:
    cls = type(value)
    if cls is str or cls is int:
        return canonical_json(value)
    if hasattr(cls, "lmc_kind"):
        return meaning(value, neutral, texts, prefix)
    if isinstance(value, dict):
        items = [
            f"{canonical_json(key)}:{_text(value[key], neutral, texts, f'{prefix}{key}.')}" for key in sorted(value)
        ]
        return "{" + ",".join(items) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join([_text(item, neutral, texts, prefix) for item in value]) + "]"
    if isinstance(value, Expr):
        return canonical_json(value.tree)
    return canonical_json(attrs.asdict(value) if attrs.has(cls) else value)


@cache
def _derives(cls: Any) -> bool:
    """Whether a block or one nested in it has derived defaults, so that its text depends on the run."""
    seen, waiting = set(), [cls]
    while waiting:
        found = waiting.pop()
        seen.add(found)
        for name, field in fields(found).items():
            if field.metadata["identity"] and field.metadata["derived"] and not field.metadata["circular"]:
                return True
            waiting += [inner for inner in slot(found, name).values() if inner not in seen]
    return False


def wording(value: Any) -> Any:
    """Return what a value says, as plain JSON values, whether or not an identity covers it.

    Of a spec these are the fields that differ from their neutral value.
    """
    cls: Any = type(value)
    if hasattr(cls, "lmc_kind"):
        found: dict[str, Any] = {"kind": cls.lmc_kind, "variant": cls.lmc_variant}
        for name, field in fields(cls).items():
            if not field.metadata["hidden"] and not _same(getattr(value, name), _neutral(field)):
                found[name] = wording(getattr(value, name))
        return found
    if isinstance(value, dict):
        return {key: wording(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [wording(item) for item in value]
    if isinstance(value, Expr):
        return value.tree
    return attrs.asdict(value) if attrs.has(cls) else value
