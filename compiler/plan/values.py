"""The compile-time values of runs that plots, tables and names read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...spec.plot import plot_names
from ...spec.schema import fields
from ...spec.span import Span
from ..resolve.cells import Cell, Scope
from ..resolve.grids import plain
from ..resolve.problems import Problem, Unknown
from ..resolve.values import DeclRef, PartRef
from ..resolve.world import World
from ..syntax import tree
from .places import root_of
from .plots import is_column, misread, span_of

if TYPE_CHECKING:
    from .build import PlanBuilder


def values_of(builder: PlanBuilder, world: World, grid: str) -> dict[str, Any]:
    """Return the compile-time values that plots, tables and names read; None for unknown ones."""
    if grid not in builder.paths:
        axes = builder.grids[grid].axes if grid in builder.grids else ()
        known = {axis.path for axis in axes if axis.free or axis.structural}
        names = {"seed": None, "model.params": None, **_paths(builder, grid)}
        builder.paths[grid] = {name: span for name, span in names.items() if name not in known}
    root = root_of(world)
    found: dict[str, Any] = {}
    for name, span in builder.paths[grid].items():
        try:
            found[name] = _path_value(world, root, name)
        except Unknown as error:
            found[name] = None
            builder.unknown[grid, name] = error.what
        except Problem as error:
            told = error if span is None else misread(error, root.span, name, span)
            if span is None or grid in builder.grids:
                raise told from None
            found[name] = None
            builder.misread[grid, name] = told
    return found


def _paths(builder: PlanBuilder, grid: str) -> dict[str, Span | None]:
    """Return the names in plots of a grid that are paths into the run, and where each is written."""
    found: dict[str, Span | None] = {}
    for decl in builder.program.main.decls:
        if decl.kind == "plot" and not decl.poisoned:
            cell = builder.null.instance(decl)
            try:
                spec = builder.null.spec(cell)
            except Problem:
                continue
            if grid in spec.sources:
                names = [name for name in plot_names(spec) if not is_column(builder.program, name)]
                found |= {name: span_of(cell, name) for name in names if name not in found}
    return found


def _path_value(world: World, root: Cell, name: str) -> Any:
    return world.memo.once(("path", name), lambda: _read_path(world, root, name))


def _read_path(world: World, root: Cell, name: str) -> Any:
    own = ["this"] if name.split(".")[0] in fields(root.cls) else []
    parts = [tree.Name(part, root.span) for part in (*own, *name.split("."))]
    ref = tree.Ref(parts[0], tuple(parts[1:]), root.span)
    value = world.evaluator.expr(ref, Scope((root,), root.root.module))
    if isinstance(value, DeclRef | PartRef):
        return value.decl.name
    return plain(value)
