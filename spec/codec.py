"""Plain JSON values to specs; what is read back equals what `unstructure` wrote.

A registered spec becomes {"kind": ..., "variant": ..., field: value, ...}.
"""

from __future__ import annotations

import functools
import operator
import typing
from typing import Any, TypeVar

import attrs
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn

from .expr import Expr
from .plain import unstructure
from .schema import REGISTRY, members

_T = TypeVar("_T")

__all__ = ["CodecError", "structure", "structure_spec", "unstructure"]


class CodecError(ValueError):
    """Data that is no spec of this version."""


def structure(data: Any, cls: type[_T]) -> _T:
    """Return an instance of `cls`. Raises CodecError naming what does not fit."""
    try:
        return _converter().structure(data, cls)
    except Exception as error:
        raise CodecError(f"no {cls.__name__}: " + "; ".join(transform_error(error))) from error


def structure_spec(data: dict[str, Any]) -> Any:
    """Return the registered spec that `unstructure` made `data` from. Raises CodecError."""
    try:
        cls = REGISTRY[data["kind"]][data["variant"]]
    except (KeyError, TypeError) as error:
        raise CodecError(f"unknown kind or variant: {error}") from error
    return structure(data, cls)


@functools.cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=False)
    registered = frozenset(cls for variants in REGISTRY.values() for cls in variants.values())
    for cls in registered:
        attrs.resolve_types(cls)
    converter.register_structure_hook_factory(
        lambda cls: cls in registered, lambda cls: make_dict_structure_fn(cls, converter)
    )
    converter.register_structure_hook_func(_is_union, lambda data, union: _structure_member(converter, data, union))
    converter.register_structure_hook(Expr, lambda data, _: Expr(_tuples(data["tree"]), data["text"]))
    return converter


def _is_union(annotation: Any) -> bool:
    return len(members(annotation)) > 1 and Any not in members(annotation)


def _structure_member(converter: Converter, data: Any, union: Any) -> Any:
    options = members(union)
    if data is None and type(None) in options:
        return None
    if isinstance(data, dict) and "variant" in data:
        for option in options:
            if getattr(option, "lmc_kind", None) == data["kind"] and option.lmc_variant == data["variant"]:
                return converter.structure(data, option)
    plain = [option for option in options if option is not type(None)]
    if len(plain) == 1:
        return converter.structure(data, plain[0])
    for option in plain:
        if _holds(option, data):
            return converter.structure(data, option)
    raise ValueError(f"{data!r} is none of {functools.reduce(operator.or_, plain)}")


def _holds(option: Any, data: Any) -> bool:
    """Whether a member of a union that is no registered variant was written as `data`."""
    origin = typing.get_origin(option)
    if origin is typing.Literal:
        return data in typing.get_args(option)
    if origin is tuple:
        return isinstance(data, list | tuple)
    if attrs.has(option):
        return isinstance(data, dict) and data.keys() == attrs.fields_dict(option).keys()
    return type(data) is getattr(option, "__supertype__", option)


def _tuples(tree: Any) -> Any:
    return tuple(_tuples(item) for item in tree) if isinstance(tree, list | tuple) else tree
