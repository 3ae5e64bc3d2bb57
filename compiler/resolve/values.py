"""Values: exact until a field types them.

int, Decimal      numbers as written or computed        Quantity    with a unit of size or duration
Pattern           re"..."                               PathValue   file("..."), files("...")
Env               env("...")                            Distribution  uniform(0, 1)
DeclRef, PartRef  a block, a repeated block in one      BlockValue  attention { heads = 1 }
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any, Literal

from attrs import frozen

from ...spec.diagnostic import Edit
from ...spec.expr import Expr
from ...spec.schema import hints, members, variant_of
from ...spec.span import Span
from ...spec.units import (
    COUNT_SUFFIXES,
    DURATION_SUFFIXES,
    SIZE_SUFFIXES,
    Duration,
    Env,
    FilePath,
    Glob,
    Pattern,
    Size,
    Steps,
)
from ..syntax import tree
from .cells import BlockValue
from .declare import Decl
from .problems import Problem, problem

EXACT = Context(prec=34)


MOST_DIGITS = 1000


@frozen
class Quantity:
    """A number with a unit: bytes or seconds."""

    value: Decimal
    unit: Literal["Size", "Duration"]


@frozen
class PathValue:
    """A path relative to the root of the compilation; `glob` if it stands for many files."""

    path: str
    glob: bool = False


@frozen(eq=False)
class Distribution:
    """What an axis is drawn from: `at` makes a value of a number in [0, 1)."""

    name: str
    at: Callable[[Decimal], Any]


@frozen(eq=False)
class DeclRef:
    """A block as a value."""

    decl: Decl


@frozen(eq=False)
class PartRef:
    """A repeated block within a block: `facts.people`."""

    decl: Decl
    name: str
    kind: str


def number(literal: tree.Number) -> int | Decimal | Quantity:
    """Return the value of a number literal. Raises Problem (LM0302) for an unknown suffix."""
    suffix = literal.suffix
    if literal.value.adjusted() >= MOST_DIGITS:
        raise problem("LM0307", literal.span, f"the number has more than {MOST_DIGITS:,} digits", help="write fewer")
    if suffix in COUNT_SUFFIXES:
        value = literal.value * COUNT_SUFFIXES[suffix]
        return int(value) if value == value.to_integral_value() and not _fractional(literal) else value
    if suffix in SIZE_SUFFIXES:
        return Quantity(literal.value * SIZE_SUFFIXES[suffix], "Size")
    if suffix in DURATION_SUFFIXES:
        return Quantity(literal.value * DURATION_SUFFIXES[suffix], "Duration")
    known = [s for s in (*COUNT_SUFFIXES, *SIZE_SUFFIXES, *DURATION_SUFFIXES) if s]
    near = difflib.get_close_matches(suffix, known, 1, 0.4)
    help = f"did you mean `{near[0]}`?" if near else f"suffixes are {' '.join(known)}"
    raise problem("LM0302", literal.span, f"`{suffix}` is no unit", help=help)


def is_too_large(value: int | Decimal | float) -> bool:
    """Whether a number has more digits than any quantity: to compute with it and to write it would take long."""
    if isinstance(value, int):
        return value.bit_length() > 4 * MOST_DIGITS
    return isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MOST_DIGITS


def _fractional(literal: tree.Number) -> bool:
    """Whether a literal without suffix is written as a fraction or with an exponent, and so may mean a float."""
    return literal.suffix == "" and literal.value.as_tuple().exponent != 0


def exact(value: Any) -> Any:
    """Return a value read from a typed field as one that arithmetic is exact on."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def shown(value: Any) -> str:
    """Return a value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Quantity):
        return f"{value.value:g} {'bytes' if value.unit == 'Size' else 's'}"
    if isinstance(value, DeclRef):
        return value.decl.name
    if isinstance(value, PartRef):
        return f"{value.decl.name}.{value.name}"
    if isinstance(value, Glob):
        return f'files("{value.pattern}")'
    if isinstance(value, Pattern):
        return f're"{value.text}"' if value.regex else f'"{value.text}"'
    if isinstance(value, PathValue):
        return f'{"files" if value.glob else "file"}("{value.path}")'
    if isinstance(value, Env):
        return f'env("{value.name}")'
    if isinstance(value, Expr):
        return value.text
    return str(value)


def type_name(annotation: Any) -> str:
    """Return a type in the words of the language."""
    names = {int: "Int", float: "Float", bool: "Bool", str: "Str", Steps: "Int", Size: "Size", Duration: "Duration"}
    names |= {FilePath: "Path", Glob: "Path", Pattern: "Str or Regex", Env: 'env("NAME")'}
    if annotation in names:
        return names[annotation]
    if hasattr(annotation, "lmc_kind"):
        return f"{variant_of(annotation)} {{ }}"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{a}"' for a in arguments)
    if origin is tuple:
        return f"List[{type_name(arguments[0])}]"
    plain = [m for m in members(annotation) if m is not type(None)]
    return " or ".join(dict.fromkeys(map(type_name, plain))) if plain else "none"


def kind_name(value: Any) -> str:
    """Return what a value is, in the words of the language."""
    for types, name in (
        ((bool,), "a Bool"),
        ((int,), "an Int"),
        ((Decimal, float), "a Float"),
        ((str,), "a Str"),
        ((list, tuple), "a List"),
        ((Pattern,), "a Regex"),
        ((PathValue,), "a Path"),
        ((Env,), "a variable of the environment"),
        ((BlockValue,), "a block"),
        ((Distribution,), "a distribution"),
    ):
        if isinstance(value, types):
            return name
    if isinstance(value, Quantity):
        return f"a {value.unit}"
    if isinstance(value, DeclRef):
        return f"the {value.decl.kind} `{value.decl.name}`"
    return "none" if value is None else type(value).__name__


def typed(value: Any, cls: Any, name: str, span: Span | None, many: bool) -> Any:
    """Return a value as field `name` of `cls` holds it. Raises Problem: LM0301, LM0302, LM0304."""
    annotation = hints(cls)[name]
    if many and not isinstance(value, list):
        value = [value]
    return convert(value, annotation, f"`{name}`", span)


def convert(value: Any, annotation: Any, what: str, span: Span | None) -> Any:
    """Return `value` as the annotation wants it. Int widens to Float; nothing else converts."""
    origin = typing.get_origin(annotation)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(value, annotation, what, span)
        item = typing.get_args(annotation)[0]
        return tuple(convert(v, item, f"an item of {what}", span) for v in value)
    if origin is Literal:
        return _enum(value, typing.get_args(annotation), what, span)
    options = members(annotation)
    if len(options) > 1:
        if value is None and type(None) in options:
            return None
        plain = [option for option in options if option is not type(None)]
        if len(plain) == 1 or (isinstance(value, str) and plain[0] is FilePath and str not in plain):
            return convert(value, plain[0], what, span)
        for option in plain:
            try:
                return convert(value, option, what, span)
            except Problem:
                continue
        raise _wrong(value, annotation, what, span)
    return _plain(value, annotation, what, span)


def _plain(value: Any, annotation: Any, what: str, span: Span | None) -> Any:
    if annotation is bool and isinstance(value, bool):
        return value
    if isinstance(value, Quantity):
        if annotation is Size and value.unit == "Size" and value.value == value.value.to_integral_value():
            return int(value.value)
        if annotation is Duration and value.unit == "Duration":
            return float(value.value)
        raise _wrong(value, annotation, what, span)
    if annotation in (int, Steps, float) and isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        return _numeric(value, annotation, what, span)
    if annotation is Pattern and isinstance(value, str | Pattern):
        return value if isinstance(value, Pattern) else Pattern(value)
    if annotation in (str, Env) and isinstance(value, annotation):
        return value
    if annotation is FilePath and isinstance(value, PathValue) and not value.glob:
        return FilePath(value.path)
    if annotation is Glob and isinstance(value, PathValue):
        return Glob(value.path)
    if annotation in (FilePath, Glob) and isinstance(value, str):
        edits = _written_as(value, span, f'file("{value}")')
        raise problem("LM0301", span, f"{what} needs a Path, got a Str", help=f'write file("{value}")', edits=edits)
    raise _wrong(value, annotation, what, span)


def _numeric(value: Any, annotation: Any, what: str, span: Span | None) -> int | float:
    if is_too_large(value):
        raise problem(
            "LM0307", span, f"{what} gets a number of more than {MOST_DIGITS:,} digits", help="make it smaller"
        )
    if annotation is float:
        return float(value)
    if isinstance(value, int):
        return value
    whole = Decimal(value).to_integral_value()
    if annotation is Steps or whole == value:
        return int(whole)
    below = Decimal(value).to_integral_value(ROUND_FLOOR)
    near = f"{below} or {below + 1}" if below else "1"
    raise problem("LM0301", span, f"{what} needs an Int, got {value}", help=f"write {near}")


def _enum(value: Any, allowed: tuple[Any, ...], what: str, span: Span | None) -> Any:
    if value in allowed and isinstance(value, str):
        return value
    listed = ", ".join(f'"{a}"' for a in allowed)
    if not isinstance(value, str):
        raise problem("LM0301", span, f"{what} takes one of {listed}, got {kind_name(value)}")
    spelt = {a.casefold(): a for a in allowed}
    near = [spelt[a] for a in difflib.get_close_matches(value.casefold(), spelt, 1)]
    help = f'did you mean "{near[0]}"?' if near else ""
    edits = (Edit(span, f'"{near[0]}"'),) if near and span else ()
    raise problem("LM0304", span, f"{what} takes one of {listed}", help=help, edits=edits)


def _wrong(value: Any, annotation: Any, what: str, span: Span | None) -> Problem:
    wanted = type_name(annotation)
    article = "an" if wanted[:1] in "AEIO" else "a"
    if isinstance(value, str) and wanted in ("Int", "Float", "Bool") and (plain := _unquoted(value, wanted)):
        message, help = f"{what} needs {article} {wanted}, got a Str", f"drop the quotes: {plain}"
        return problem("LM0301", span, message, help=help, edits=_written_as(value, span, plain))
    examples = {
        "Int": "write a number, such as 8",
        "Float": "write a number, such as 1e-3",
        "Str": 'write a "..." text',
    }
    examples |= {"Bool": "write true or false"}
    units = {"Duration": "durations end in ms, s, min, h or d", "Size": "sizes end in KiB, MiB, GiB or TiB"}
    edits: tuple[Edit, ...] = ()
    if isinstance(value, Quantity):
        bare = re.fullmatch(r"(-?[0-9][0-9_]*)[A-Za-z]+", span.text if span else "")
        edits = (Edit(span, bare.group(1)),) if bare and span and wanted in ("Int", "Float") else ()
        units |= {"Int": "write the number without a unit", "Float": "write the number without a unit"}
    measured = isinstance(value, Quantity) or (wanted in units and isinstance(value, int | Decimal))
    message = f"{what} needs {article} {wanted}, got {kind_name(value)}"
    return problem(
        "LM0302" if measured else "LM0301", span, message, help=units.get(wanted, examples.get(wanted, "")), edits=edits
    )


def _unquoted(text: str, wanted: str) -> str:
    """Return what a quoted number or truth value is without its quotes; "" if it is none."""
    if wanted == "Bool":
        return text if text in ("true", "false") else ""
    pattern = r"-?[0-9][0-9_]*" if wanted == "Int" else r"-?[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?"
    return text if re.fullmatch(pattern, text) else ""


def _written_as(value: str, span: Span | None, text: str) -> tuple[Edit, ...]:
    """Return the edit of a string that stands at a span as it is, and is no part of an expression."""
    return (Edit(span, text),) if span is not None and span.text == f'"{value}"' else ()
