"""What a field, a variant and a kind are, in the words of the language. The manual and hover say the same.

describe_field(Attention, "kv_heads")   ->   Int, at least 0, default `heads`, "Number of key-value heads ..."
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from ...spec.expr import Expr
from ...spec.schema import REGISTRY, fields, hints, kind_of, members, referred, runs, slot, variant_of
from ...spec.units import DURATION_SUFFIXES, SIZE_SUFFIXES, Duration, Size, Steps, written
from ..resolve.cells import is_map, spelled
from ..resolve.values import shown, type_name
from .written import BLOCKS, KINDS

SAY_THEIR_UNIT = frozenset({"Steps", "Size", "Duration"})
SOURCE_KINDS = "train, grid or probe"
MADE = frozenset({"automaton"})
"""Kinds that only the compiler writes."""


@frozen
class FieldDoc:
    """A field as a user meets it.

    Attributes:
        name: as the language spells it. type: as the language writes it.
        default: an expression of the language; "" where a field has none.
        required: whether it must be written. derived: whether `default` is computed from other fields.
        unit: what a number counts. range: which values are allowed. holds: the kind of a nested block.
    """

    name: str
    type: str
    doc: str
    default: str = ""
    required: bool = False
    derived: bool = False
    unit: str = ""
    range: str = ""
    identity: bool = True
    holds: str = ""

    def facts(self) -> str:
        """Return type, range and default on one line."""
        said = [self.type, self.range]
        if self.required:
            said.append("required")
        elif self.default:
            said.append(f"default {self.default}")
        return ", ".join(filter(None, said))

    def notes(self) -> str:
        """Return what else is to be known: the unit, and whether the field is part of the identity."""
        unit = f"In {self.unit}." if self.unit and self.type not in SAY_THEIR_UNIT else ""
        return " ".join(filter(None, [unit, "" if self.identity else "Not part of the identity."]))

    def markdown(self) -> str:
        """Return the field as hover shows it."""
        head = f"**{self.name}**: `{self.facts()}`"
        return "\n\n".join(filter(None, [head, self.doc, self.notes()]))


@frozen
class VariantDoc:
    """A variant of a kind; `name` is "" where the kind has a single form. `readable` are values that it computes."""

    kind: str
    name: str
    doc: str
    fields: tuple[FieldDoc, ...]
    readable: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The variant as it is written."""
        return f"{self.kind} : {self.name}" if self.name else self.kind

    def field(self, name: str) -> FieldDoc | None:
        """Return the field that the language spells so."""
        return next((field for field in self.fields if field.name == name), None)

    def markdown(self) -> str:
        """Return the variant as hover shows it."""
        listed = ", ".join(f"`{field.name}`" for field in self.fields)
        return "\n\n".join(filter(None, [f"**{self.title}**", self.doc, f"Fields: {listed}." if listed else ""]))


@frozen
class KindDoc:
    """A kind, or a nested block.

    Attributes:
        spellings: the words that it is written with. within: the blocks that hold it.
    """

    kind: str
    doc: str
    variants: tuple[VariantDoc, ...]
    spellings: tuple[str, ...]
    within: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The word that it is written with, where there is one."""
        return self.kind if self.kind in self.spellings else self.spellings[0]

    def markdown(self) -> str:
        """Return the kind as hover shows it."""
        named = ", ".join(f"`{variant.name}`" for variant in self.variants if variant.name)
        return "\n\n".join(filter(None, [f"**{self.title}**", self.doc, f"Variants: {named}." if named else ""]))


def kinds() -> tuple[str, ...]:
    """Return every kind and nested block that can be written, top-level ones first, each group by name."""
    nested = sorted({*REGISTRY, *BLOCKS} - set(KINDS) - MADE)
    return (*sorted(KINDS), *nested)


@cache
def describe_kind(kind: str) -> KindDoc:
    """Return what a kind or nested block is. Raises KeyError for a word that is none."""
    holders = tuple(_holders(kind))
    if kind in BLOCKS:
        variants: tuple[VariantDoc, ...] = (
            VariantDoc(kind, "", BLOCKS[kind].doc, BLOCKS[kind].fields(describe_field)),
        )
    else:
        variants = tuple(describe_variant(cls) for _, cls in sorted(REGISTRY[kind].items()))
    doc = KINDS.get(kind) or " ".join(dict.fromkeys(doc for _, _, doc in holders)) or variants[0].doc
    spellings = (kind,) if kind in KINDS or not holders else tuple(dict.fromkeys(word for _, word, _ in holders))
    within = () if kind in KINDS else tuple(dict.fromkeys(within for within, _, _ in holders))
    return KindDoc(kind, doc, variants, spellings, within)


@cache
def describe_variant(cls: type) -> VariantDoc:
    """Return what a registered class is."""
    listed = tuple(describe_field(cls, name) for name, a in fields(cls).items() if not a.metadata["hidden"])
    doc = inspect.cleandoc(cls.__doc__ or "")
    if not runs(cls):
        doc += "\n\nThis version types and checks it, and cannot run it."
    return VariantDoc(kind_of(cls), variant_of(cls), doc, listed, tuple(_readable(cls)))


@cache
def describe_field(cls: type, name: str) -> FieldDoc:
    """Return what a field of a registered class is; `name` as Python spells it."""
    attribute = fields(cls)[name]
    known = attribute.metadata
    variants = slot(cls, name)
    return FieldDoc(
        name=known["repeat"] or spelled(name),
        type=_type(cls, name),
        doc=known["doc"],
        default=_default(cls, name),
        required=attribute.default is attrs.NOTHING,
        derived=bool(known["derived"]),
        unit=known["unit"],
        range=_range(attribute.validator),
        identity=known["identity"],
        holds=kind_of(next(iter(variants.values()))) if variants else "",
    )


def _holders(kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield block, field and its doc for each place where a nested block of this kind is written."""
    for holder, variants in REGISTRY.items():
        for name, cls in variants.items():
            for field, attribute in fields(cls).items():
                if not attribute.metadata["hidden"] and any(kind_of(m) == kind for m in slot(cls, field).values()):
                    word = attribute.metadata["repeat"] or spelled(field)
                    yield (f"{holder} : {name}" if name else holder), word, attribute.metadata["doc"]


def _readable(cls: type) -> Iterator[tuple[str, str]]:
    for name in sorted(dir(cls)):
        found = inspect.getattr_static(cls, name)
        if isinstance(found, property) and not name.startswith("_"):
            yield name, inspect.cleandoc(found.__doc__ or "")


def _type(cls: type, name: str) -> str:
    attribute = fields(cls)[name]
    known, annotation = attribute.metadata, hints(cls)[name]
    if known["repeat"]:
        return f"blocks {known['repeat']} NAME {{ }}"
    if is_map(cls, name):
        return f"block of NAME = {type_name(typing.get_args(annotation)[1])}"
    plain = [member for member in members(annotation) if not hasattr(member, "lmc_kind")]
    said = [_plain(member, kind_of(cls), known["ref"]) for member in plain if member is not type(None)]
    variants = list(slot(cls, name))
    if variants:
        said.append("block" if variants == [""] else f"Variant[{', '.join(filter(None, variants))}]")
    if known["many"]:
        said.insert(0, said[0].removeprefix("List[").removesuffix("]"))
    return " or ".join(dict.fromkeys([*said, *(["none"] if type(None) in plain else [])]))


def _plain(annotation: Any, kind: str, ref: str) -> str:
    if typing.get_origin(annotation) is tuple:
        return f"List[{_plain(typing.get_args(annotation)[0], kind, ref)}]"
    if ref:
        return f"Ref[{SOURCE_KINDS if ref == 'source' else ' or '.join(referred(ref))}]"
    if annotation is Expr:
        return "Column" if kind == "plot" else "Live"
    return "Steps" if annotation is Steps else type_name(annotation)


def _default(cls: type, name: str) -> str:
    attribute = fields(cls)[name]
    default, known = attribute.default, attribute.metadata
    if known["derived"]:
        return str(known["derived"])
    if known["repeat"] or default is attrs.NOTHING or isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return ""
    if hasattr(default, "lmc_kind"):
        return variant_of(type(default))
    plain = members(hints(cls)[name])
    for marker, suffixes in ((Size, SIZE_SUFFIXES), (Duration, DURATION_SUFFIXES)):
        if default is not None and marker in plain:
            return written(default, suffixes)
    return _shown(default)


def _shown(value: Any) -> str:
    """Return a default as one would write it: 1e-5, not 1e-05; a line end as its escape."""
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("e+0", "e") if float(f"{value:g}") == value else repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return shown(value).replace("\n", "\\n")


_WORDS: dict[str, str] = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}


def _range(validator: Any) -> str:
    """Return what a validator allows; one of our own says it in its docstring."""
    if validator is None:
        return ""
    if hasattr(validator, "compare_op"):
        return f"{_WORDS[validator.compare_op]} {validator.bound:g}"
    if hasattr(validator, "_validators"):
        return " and ".join(map(_range, validator._validators))
    if hasattr(validator, "validator"):
        return _range(validator.validator)
    return inspect.cleandoc(validator.__doc__ or "").rstrip(".")
