"""Specs of cells: how each field of a block is read, and what the compiler fills in itself."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from ...spec.canonical import canonical_json
from ...spec.diagnostic import Edit
from ...spec.expr import Expr
from ...spec.identity import identity, wording
from ...spec.schema import fields, hints, members, slot
from .cells import Cell, Setting, is_map, takes_value
from .lengths import check_length, check_steps
from .problems import Problem, poison, problem
from .stages import stages_of
from .values import DeclRef, convert, shown

if TYPE_CHECKING:
    from .world import World

Reader = Callable[["World", Cell, str], Any]
ATTACHED = ""
"""In place of the run of an evaluation or probe, which is each that it attaches to."""


def read_spec(world: World, cell: Cell) -> Any:
    """Return the spec of a cell; what no axis changes is read once. Raises Problem."""
    if cell.kind == "train" and not cell.poisoned:
        world.memo.once(("length", cell), lambda: check_length(cell))
    settled, varying = world.settled.get(cell, ({}, readers(cell.cls)))
    values = dict(settled)
    failed: list[Problem] = []
    left = []
    for name, read in varying:
        try:
            values[name], varies = world.memo.noted(partial(read, world, cell, name))
        except Problem as error:
            failed.append(error)
            varies = True
        if varies:
            left.append((name, read))
        else:
            settled[name] = values[name]
    world.settled[cell] = (settled, left)
    if failed:
        raise _together(failed)
    if cell.poisoned:
        raise poison()
    if cell.kind == "train":
        check_steps(cell, values["steps"])
    return cell.cls(**values, **_hidden(world, cell, values))


def _blocks(world: World, cell: Cell, name: str) -> Any:
    return {key: world.spec(inner) for key, inner in cell.named.get(name, {}).items()}


def _stages(world: World, cell: Cell, name: str) -> Any:
    return stages_of(world, cell)


def _map(world: World, cell: Cell, name: str) -> Any:
    item = typing.get_args(hints(cell.cls)[name])[1]
    return {key: _map_value(world, item, f"`{name}.{key}`", s) for key, s in cell.maps.get(name, {}).items()}


def _slot(world: World, cell: Cell, name: str) -> Any:
    if name not in cell.slots and has_settled_default(cell.cls, name):
        return fields(cell.cls)[name].default
    inner = cell.slot(name)
    attribute = fields(cell.cls)[name]
    if inner is None and attribute.default is not None:
        if cell.spoiled:
            raise poison()
        doc = attribute.metadata["doc"].rstrip(".")
        first, *others = slot(cell.cls, name)
        block = f"{name} : {first} {{ }}{', or another variant' if others else ''}" if first else f"{name} {{ }}"
        help = f"add {block} ({doc})"
        raise problem("LM0209", cell.span, f"{cell.kind} `{cell.name}` needs `{name}`", help=help)
    return None if inner is None else world.spec(inner)


def _slot_or_value(world: World, cell: Cell, name: str) -> Any:
    return _slot(world, cell, name) if name in cell.slots else _value(world, cell, name)


def _reference(world: World, cell: Cell, name: str) -> Any:
    value = world.evaluator.value(cell, name)
    if name == "run" and cell.kind in ("eval", "probe"):
        return ATTACHED
    if cell.kind != "start" or not isinstance(value, DeclRef):
        return world.ids(value)
    if value.decl in (world.train, *world.trail):
        raise problem("LM0206", cell.fields[name][-1].expr.span, f"train `{value.decl.name}` starts from itself")
    other = world.border(value.decl)
    return other.node_id(other.instance(value.decl))


def _sources(world: World, cell: Cell, name: str) -> Any:
    return tuple(item.decl.name for item in world.evaluator.value(cell, name))


def _value(world: World, cell: Cell, name: str) -> Any:
    return world.evaluator.value(cell, name)


def _map_value(world: World, annotation: Any, what: str, setting: Setting) -> Any:
    value = world.evaluator.expr(setting.expr, setting.scope)
    return convert(_listed(value, annotation, what, setting), annotation, what, setting.expr.span)


def neutral_defaults(world: World, cell: Cell, prefix: str = "") -> dict[str, Any]:
    """Return, by path, what the derived defaults of a cell and its nested blocks are here."""
    found: dict[str, Any] = {}
    for name in derived_fields(cell.cls):
        try:
            found[prefix + name] = world.evaluator.derived(cell, name)
        except Problem:
            continue
    for name in slots_of(cell.cls):
        settled = name not in cell.slots and has_settled_default(cell.cls, name)
        inner = None if settled else cell.slot(name)
        if inner is not None:
            found |= neutral_defaults(world, inner, f"{prefix}{name}.")
    return found


def _hidden(world: World, cell: Cell, values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that only the compiler fills."""
    if cell.kind == "data" and "replies_learned" in fields(cell.cls):
        learned = []
        for protocol in world.evaluator.value(cell, "protocols"):
            spec = world.spec(world.instance(protocol.decl))
            if spec.reply.loss and spec.call.handover:
                learned.append(spec.call.handover)
        spoken = values["protocols"] if values["replies"] == "tools" else ()
        return {"replies_learned": tuple(learned), "spoken": spoken}
    if cell.kind == "train":
        origin = None if values["init"] is None else values["init"].run
        return {
            "origin": origin,
            "counted": tuple([_counted(world, cell, name, values[name]) for name in world.identified]),
            "watched": () if (when := values["stop"].when) is None else _watched(world, cell, when, values["every"]),
            "staged_data": tuple([stage.data for stage in values["stages"]]),
            "staged_models": tuple([stage.model for stage in values["stages"]]),
        }
    if cell.kind == "data" and "parts" in values:
        return {"read": tuple(part.data for _, part in sorted(values["parts"].items()))}
    return {}


def _counted(world: World, cell: Cell, name: str, value: Any) -> str:
    """Return what a field says whose value does not count elsewhere; of a block, what the block says."""
    if fields(cell.cls)[name].metadata["ref"] and value is not None:
        value = world.spec(world.instance(world.evaluator.value(cell, name).decl))
    return canonical_json({name: wording(value)})


def _watched(world: World, root: Cell, when: Expr, every: Any) -> tuple[str, ...]:
    """Return what the evaluations in a stopping condition are, but for the run, and how often they are made."""
    found = []
    for head in dict.fromkeys(name.split(".")[0] for name in when.names()):
        decl = world.evaluation(root, "stop", "when", head)
        if decl is None:
            continue
        cell = world.instance(decl)
        values = {name: read(world, cell, name) for name, read in readers(cell.cls) if name != "run"}
        what = identity(cell.cls(run="", **values), world.neutral(cell))
        found.append(f"{what}/{values['every'] or every.eval}")
    return tuple(found)


def _listed(value: Any, annotation: Any, what: str, setting: Setting) -> Any:
    """Return one string as the list of it, unless it is a word of the field.

    Raises Problem (LM0304) for a word that is misspelt.
    """
    words = [word for m in members(annotation) if typing.get_origin(m) is Literal for word in typing.get_args(m)]
    if not isinstance(value, str) or value in words:
        return value
    near = difflib.get_close_matches(value, words, 1, 0.8)
    if near:
        help, edits = f'did you mean "{near[0]}"?', (Edit(setting.expr.span, f'"{near[0]}"'),)
        message = f"{what} takes a List or {shown(words[0])}"
        raise problem("LM0304", setting.expr.span, message, help=help, edits=edits)
    return [value]


def _together(failed: list[Problem]) -> Problem:
    """Return the problems of one block as one, each mistake once; one that has mistakes to tell comes first."""
    first = next((error for error in failed if error.diagnostic is not None), failed[0])
    told = dict.fromkeys(diagnostic for error in failed for diagnostic in error.told())
    more = tuple(diagnostic for diagnostic in told if diagnostic is not first.diagnostic)
    if not more:
        return first
    return Problem(first.diagnostic, more)


@cache
def readers(cls: Any) -> tuple[tuple[str, Reader], ...]:
    """Return how the value of each field of a class is read, in the order of its fields."""
    found: list[tuple[str, Reader]] = []
    for name, attribute in fields(cls).items():
        if attribute.metadata["hidden"]:
            continue
        if attribute.metadata["repeat"] == "stage":
            found.append((name, _stages))
        elif attribute.metadata["repeat"]:
            found.append((name, _blocks))
        elif is_map(cls, name):
            found.append((name, _map))
        elif slot(cls, name):
            found.append((name, _slot_or_value if takes_value(cls, name) else _slot))
        elif attribute.metadata["ref"] == "source":
            found.append((name, _sources))
        else:
            found.append((name, _reference if attribute.metadata["ref"] else _value))
    return tuple(found)


@cache
def has_settled_default(cls: Any, name: str) -> bool:
    """Whether a slot's default block is the same wherever nothing was said in it."""
    inner: Any = type(fields(cls)[name].default)
    return (
        hasattr(inner, "lmc_kind")
        and not slots_of(inner)
        and not any(a.metadata["derived"] for a in fields(inner).values())
    )


@cache
def derived_fields(cls: Any) -> tuple[str, ...]:
    """Return the fields of a class whose derived default counts as neutral."""
    return tuple(
        name
        for name, attribute in fields(cls).items()
        if attribute.metadata["derived"] and attribute.metadata["identity"] and not attribute.metadata["circular"]
    )


@cache
def slots_of(cls: Any) -> tuple[str, ...]:
    """Return the fields of a class that hold one nested block."""
    return tuple(name for name, a in fields(cls).items() if slot(cls, name) and not a.metadata["repeat"])
