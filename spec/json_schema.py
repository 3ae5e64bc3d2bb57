"""JSON Schema (draft 2020-12) of every block, made from the same classes as the language.

It describes blocks as `lmc.spec.exported` writes them. Types, choices and ranges are the language's; a field may be
left out where the language lets it be, and no field may be there that the block does not have.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from types import NoneType
from typing import Any

import attrs

from .exported import exported, spelt, visible
from .expr import Expr
from .plain import unstructure
from .schema import REGISTRY, fields, hints, kind_of, members, referred, variant_of
from .units import Duration, Size

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BLOCKS = ("tokenizer", "store", "protocol", "data", "model", "mesh", "train", "eval", "probe")
"""Kinds of the blocks that a run is made of."""

_SCALARS: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    Any: {},
}
_UNITS = {Size: "bytes", Duration: "seconds"}
_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


def known_blocks() -> dict[str, type]:
    """Return the class of every block and nested block by its name: `model.transformer`, `train`."""
    return {_name(cls): cls for kind, variants in REGISTRY.items() if kind != "automaton" for cls in variants.values()}


def block_schema(kind: str, variant: str | None = None) -> dict[str, Any]:
    """Return the schema of a kind of block, or of one of its variants.

    Raises KeyError for a kind or variant that there is not.
    """
    classes = list(REGISTRY[kind].values()) if variant is None else [REGISTRY[kind][variant]]
    return {"$schema": DIALECT, **_any_of([_reference(cls) for cls in classes]), "$defs": _definitions(classes)}


def document_schema() -> dict[str, Any]:
    """Return the schema of the document that `lmc export FILE` writes."""
    classes = [cls for kind in BLOCKS for cls in REGISTRY[kind].values()]
    names = {"type": "array", "items": {"type": "string"}}
    run = {
        "run": {"type": "string", "description": "Name of the run."},
        "id": {"type": "string", "pattern": "^[a-z2-7]{16}$", "description": "Hash of what the run means."},
        "block": {"type": "string", "description": "The grid or train that it belongs to."},
        "axes": {"type": "object", "description": "The value of each axis of the grid, by path."},
        "values": {"type": "object", "description": "What plots and names read; null while a run must tell."},
        "train": {"type": "string", "description": "Which of the blocks is the training."},
        "evals": {**names, "description": "Which of the blocks evaluate it."},
        "probes": {**names, "description": "Which of the blocks probe it."},
        "blocks": {
            "type": "object",
            "description": "Everything that it is made from, by name; inputs come first.",
            "additionalProperties": {"oneOf": [_reference(cls) for cls in classes]},
        },
    }
    whole = {
        "format": {"const": 1},
        "edition": {"const": 1, "description": "Edition of the language."},
        "source": {"type": "string", "description": "The file that it comes from."},
        "overlays": {**names, "description": "Overlays of the command line."},
        "settings": {**names, "description": "Settings of the command line."},
        "runs": {"type": "array", "items": _closed(run, list(run))},
    }
    return {"$schema": DIALECT, **_closed(whole, list(whole)), "$defs": _definitions(classes)}


def _definitions(classes: list[type]) -> dict[str, Any]:
    """Return the schemas of classes and of all that is nested in them, by name."""
    found: dict[str, Any] = {}
    waiting = list(classes)
    while waiting:
        cls = waiting.pop(0)
        if _name(cls) not in found:
            found[_name(cls)] = _class(cls)
            waiting += _nested(cls)
    return found


def _nested(cls: type) -> Iterator[type]:
    for name in visible(cls):
        waiting = [hints(cls)[name]]
        while waiting:
            annotation = waiting.pop()
            if hasattr(annotation, "lmc_kind"):
                yield annotation
            else:
                waiting += typing.get_args(annotation)


def _class(cls: type) -> dict[str, Any]:
    properties: dict[str, Any] = {"kind": {"const": kind_of(cls)}, "variant": {"const": variant_of(cls)}}
    properties |= {spelt(name): _field(cls, name) for name in visible(cls)}
    doc = " ".join((cls.__doc__ or "").split())
    return {"description": doc, **_closed(properties, ["kind", "variant", *_required(cls)])}


def _required(cls: type) -> Iterator[str]:
    for name in visible(cls):
        if fields(cls)[name].default is attrs.NOTHING and not fields(cls)[name].metadata["derived"]:
            yield spelt(name)


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _field(cls: type, name: str) -> dict[str, Any]:
    field, annotation = fields(cls)[name], hints(cls)[name]
    metadata = field.metadata
    described = metadata["doc"]
    unit = metadata["unit"] or next((_UNITS[member] for member in members(annotation) if member in _UNITS), "")
    described += f" In {unit}." if unit else ""
    described += f" Name of a {' or '.join(referred(metadata['ref']))} block." if metadata["ref"] else ""
    described += f" Default: `{metadata['derived']}`." if metadata["derived"] else ""
    found = {"description": described, **_bounded(_type(annotation), field.validator)}
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if default is not attrs.NOTHING and not metadata["derived"]:
        found["default"] = _default(default)
    return found


def _default(value: Any) -> Any:
    """Return a default as an export has it; of a block without what follows from other fields."""
    if not hasattr(type(value), "lmc_kind"):
        return list(value) if isinstance(value, tuple) else unstructure(value)
    derived = {spelt(name) for name, field in fields(type(value)).items() if field.metadata["derived"]}
    return {name: item for name, item in exported(value, str).items() if name not in derived}


def _type(annotation: Any) -> dict[str, Any]:
    """Return the schema of a type annotation."""
    annotation = getattr(annotation, "__supertype__", annotation)
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    if len(members(annotation)) > 1:
        return _any_of([_type(member) for member in members(annotation)])
    if hasattr(annotation, "lmc_kind"):
        return _reference(annotation)
    if annotation is Expr:
        tree = {"type": "array", "description": "The expression as it is evaluated."}
        text = {"type": "string", "description": "The expression as it was written."}
        return _closed({"tree": tree, "text": text}, ["tree", "text"])
    plain = {name: _type(hints(annotation)[name]) for name in fields(annotation)}
    return _closed(plain, list(plain))


def _any_of(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a schema that any of several satisfies; plain types are listed."""
    if len(options) == 1:
        return options[0]
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": options}


def _bounded(schema: dict[str, Any], validator: Any) -> dict[str, Any]:
    """Return a schema within the bounds that a validator says."""
    for bound in _bounds(validator):
        items = bound.get("items")
        schema |= bound if items is None else {**bound, "items": {**schema["items"], **items}}
    return schema


def _bounds(validator: Any) -> Iterator[dict[str, Any]]:
    for part in (getattr(validator, "validator", None), *getattr(validator, "_validators", ())):
        if part is not None:
            yield from _bounds(part)
    yield getattr(validator, "json_schema", {})
    keyword = _BOUNDS.get(getattr(validator, "compare_op", ""))
    if keyword:
        yield {keyword: validator.bound}


def _reference(cls: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_name(cls)}"}


def _name(cls: type) -> str:
    return ".".join(filter(None, (kind_of(cls), variant_of(cls))))
