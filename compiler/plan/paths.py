"""Where a spec names the files that its runs read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from ...spec.diagnostic import Diagnostic, Edit
from ...spec.plan import Place
from ...spec.span import Source, Span
from ..resolve.declare import Module
from ..resolve.world import Program
from ..syntax import tree


def at_its_name(program: Program, found: Diagnostic, path: str, place: Place | None, near: str | None) -> Diagnostic:
    """Return what is told of a file at the `file(...)` that names it, or at the block that reads it.

    `path` is the file or pattern, relative to the root of the compilation, `place` that of the block, and `near` the
    name of a file beside it that may be meant.
    """
    for call, name in _named(program, path):
        edits: tuple[Edit, ...] = ()
        if near is not None and not name.prefix:
            edits = (Edit(name.span, f'"{PurePosixPath(name.value).with_name(near)}"'),)
        return attrs.evolve(found, span=call.span, label="named here", edits=edits)
    return found if place is None else attrs.evolve(found, span=_block(program, place), label="read here")


def _named(program: Program, path: str) -> Iterator[tuple[tree.Call, tree.String]]:
    """Yield the calls that name a path as it stands, and their strings: of the command line, then of the files."""
    written: list[tuple[Module, Any]] = [(amendment.module, amendment.items) for amendment in program.amendments]
    written += [(module, module.file.items) for module in program.modules]
    for module, items in written:
        folder = module.path.parent.resolve()
        for call in _calls(items):
            name = call.args[0] if len(call.args) == 1 and call.name.text in ("file", "files") else None
            if isinstance(name, tree.String) and Path(os.path.relpath(folder / name.value, program.root)) == Path(path):
                yield call, name


def _calls(part: Any) -> Iterator[tree.Call]:
    """Yield the calls in a part of a syntax tree, in the order in which they are written."""
    if isinstance(part, tree.Call):
        yield part
    for inner in part if isinstance(part, tuple) else attrs.astuple(part, recurse=False) if _is_tree(part) else ():
        yield from _calls(inner)


def _is_tree(part: Any) -> bool:
    return attrs.has(type(part)) and not isinstance(part, Span | Source)


def _block(program: Program, place: Place) -> Span | None:
    for module in program.modules:
        if module.source.path == place.path:
            start = module.source.line_starts[place.line - 1] + place.column - 1
            return Span(module.source, start, start + len(place.text))
    return None
