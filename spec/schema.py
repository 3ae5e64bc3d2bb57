"""The single schema: how an attrs class says what a block may contain.

Every block of the language is a frozen attrs class registered under (kind, variant). Kinds are the top-level
words (`model`, `train`) and the nested slots (`mixer`, `optim`); a field whose annotation is a registered class, or
a union of them, is a slot. Field metadata carries what type checks, manual, identity and codec need:

    doc       one sentence, shown on hover and in the manual
    unit      what a number counts
    neutral   the value that leaves the identity as it was before the field existed; fixed for ever
    identity  False for what changes how a thing is made but not what it is
    derived   an expression of the language, evaluated in the block's scope, that gives the default
    ref       the kind of block that the field refers to; the lowered value is a node id
    repeat    the keyword of named nested blocks that the field collects (`table people : people {}`)
    many      a single value is read as a list of one
    hidden    filled by the compiler; cannot be written
    circular  the derived default reads this very field when it is set, so it says nothing about neutrality
    unknown   the default may follow from what only a run reads, "tokenizer", "examples", "tokens" or "passes"; the
              value is None until then
    free      no rule between fields reads it: it never makes another field wrong
    ahead     says of a value whether the language is ahead of this version, which checks it and cannot run it
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import attrs

from .shown import shown

_T = TypeVar("_T")
REGISTRY: dict[str, dict[str, type]] = {}
UNSUPPORTED: dict[str, frozenset[str]] = {
    "data": frozenset({"bios"}),
    "mixer": frozenset({"rnn"}),
    "mlp": frozenset({"gelu"}),
    "scaling": frozenset({"dynamic", "longrope"}),
    "eval": frozenset({"hellaswag", "divergence"}),
    "plot": frozenset({"contour", "bar"}),
}
"""Variants that this version knows by name alone; those that it types and checks say `runs=False`."""
REASONS: dict[tuple[str, str], str] = {
    ("scaling", "dynamic"): "its frequencies change as a text grows, so that what a cache holds would differ from the "
    "text read at once; write ntk { factor = ... } for the longest text",
}
"""Why a variant of a kind is not there, and what to write in its place."""
SPELLINGS = {"from": "sources"}
"""Fields that the language spells with a word that Python keeps for itself."""
WORDS = {"start": "init"}
"""Kinds of nested blocks that are written with another word than the kind's, for a user to read."""


REFERRED = {"source": ("train", "grid", "probe"), "run": ("train", "model")}
"""Kinds of blocks that a field may refer to whose `ref` is no kind itself."""


def referred(ref: str) -> tuple[str, ...]:
    """Return the kinds of blocks that a field with such a `ref` refers to."""
    return REFERRED.get(ref, (ref,))


def option(
    doc: str,
    *,
    default: Any = attrs.NOTHING,
    unit: str = "",
    neutral: Any = attrs.NOTHING,
    identity: bool = True,
    derived: str = "",
    ref: str = "",
    repeat: str = "",
    many: bool = False,
    hidden: bool = False,
    circular: bool = False,
    unknown: str = "",
    free: bool = False,
    ahead: Callable[[Any], bool] | None = None,
    validator: Callable[[Any, Any, Any], Any] | None = None,
) -> Any:
    """Declare a field; `neutral` is the default unless given. Required if it has neither default nor `derived`."""
    metadata = {
        "doc": doc,
        "unit": unit,
        "neutral": default if neutral is attrs.NOTHING else neutral,
        "identity": identity,
        "derived": derived,
        "ref": ref,
        "repeat": repeat,
        "many": many,
        "hidden": hidden,
        "circular": circular,
        "unknown": unknown,
        "free": free,
        "ahead": ahead,
    }
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return attrs.field(factory=default.factory, metadata=metadata, validator=validator)
    return attrs.field(default=default, metadata=metadata, validator=validator)


def allows(**keywords: Any) -> Callable[[_T], _T]:
    """Say in keywords of JSON Schema what a validator of our own lets pass; attrs' own say it themselves."""

    def note(validator: _T) -> _T:
        validator.json_schema = keywords  # type: ignore[attr-defined]
        return validator

    return note


def variant(kind: str, name: str = "", *, revision: int = 1, runs: bool = True) -> Callable[[type[_T]], type[_T]]:
    """Register a class as a variant of a kind; raise `revision` when its numerical meaning changes.

    With `runs=False` the language is ahead of this version: the compiler types and checks it, `lmc run` refuses it.
    Classes say `repr=False`, as one function shows them all: attrs would compile one for each at every start.
    """

    def register(cls: type[_T]) -> type[_T]:
        REGISTRY.setdefault(kind, {})[name] = cls
        cls.lmc_kind = kind  # type: ignore[attr-defined]
        cls.lmc_variant = name  # type: ignore[attr-defined]
        cls.lmc_revision = revision  # type: ignore[attr-defined]
        cls.lmc_runs = runs  # type: ignore[attr-defined]
        cls.__repr__ = shown  # type: ignore[method-assign]
        return cls

    return register


def kind_of(cls: type) -> str:
    """Return the kind (or slot) that a registered class belongs to."""
    return str(cls.lmc_kind)  # type: ignore[attr-defined]


def word_of(kind: str) -> str:
    """Return the word that blocks of a kind, or slot, are written with."""
    return WORDS.get(kind, kind)


def variant_of(cls: type) -> str:
    """Return the variant name of a registered class; "" where a kind has a single form."""
    return str(cls.lmc_variant)  # type: ignore[attr-defined]


def runs(cls: type) -> bool:
    """Whether this version can run a registered class; what it cannot run it checks all the same."""
    return bool(cls.lmc_runs)  # type: ignore[attr-defined]


_HINTS: dict[type, dict[str, Any]] = {}
_FIELDS: dict[type, dict[str, attrs.Attribute[Any]]] = {}


def hints(cls: type) -> dict[str, Any]:
    """Return the resolved annotations of a class."""
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def fields(cls: type) -> dict[str, attrs.Attribute[Any]]:
    """Return the fields of a registered class by name, hidden ones included."""
    if cls not in _FIELDS:
        _FIELDS[cls] = attrs.fields_dict(cls)
    return _FIELDS[cls]


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation alone."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)


@cache
def slot(cls: type, name: str) -> dict[str, type]:
    """Return the variants that field `name` of `cls` may hold, by name; empty if it is not a slot.

    For a repeated block (`tables: dict[str, People | Table]`, or a tuple where order counts) these are the variants
    of one entry.
    """
    annotation = hints(cls)[name]
    if typing.get_origin(annotation) is dict:
        annotation = typing.get_args(annotation)[1]
    elif fields(cls)[name].metadata["repeat"]:
        annotation = typing.get_args(annotation)[0]
    return {variant_of(m): m for m in members(annotation) if isinstance(m, type) and hasattr(m, "lmc_kind")}


def optional(cls: type, name: str) -> bool:
    """Whether field `name` may be `none`."""
    return type(None) in members(hints(cls)[name])
