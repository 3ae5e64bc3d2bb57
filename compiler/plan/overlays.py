"""Overlays are checked where they are written, applied or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from ...spec.diagnostic import Diagnostic, Diagnostics
from ..resolve.declare import Decl, find_block
from ..resolve.grids import read_grid
from ..resolve.problems import Problem
from ..resolve.world import Amendment, World

if TYPE_CHECKING:
    from .build import PlanBuilder


def check_overlays(builder: PlanBuilder) -> None:
    """Tell the mistakes that each overlay makes in the first run of its target, where a part of them is its own."""
    applied = {amendment.items for amendment in builder.program.amendments}
    for decl in builder.program.main.decls:
        target = find_block(decl.module, decl.base) if decl.kind == "overlay" and decl.base is not None else None
        if (
            not isinstance(target, Decl)
            or target.poisoned
            or decl.poisoned
            or decl.items in applied
            or builder.right(decl)
        ):
            continue
        for found in _mistakes(builder, decl, target):
            if _concerns(found, decl) and found not in builder.diagnostics.items:
                builder.diagnostics.add(found)


def _mistakes(builder: PlanBuilder, overlay: Decl, target: Decl) -> list[Diagnostic]:
    """Return every mistake in the first run of a block with an overlay on it."""
    amendment = Amendment(target, overlay.items, overlay.module, f"overlay `{overlay.name}`")
    amendments = (*builder.program.amendments, amendment)
    program = evolve(builder.program, amendments=amendments, diagnostics=Diagnostics())
    trial = type(builder)(program, spoken=builder.spoken)
    trial.null = World(program, None)
    try:
        if target.kind == "grid":
            grid = read_grid(target, program)
            first = next(grid.points(), None) if grid is not None else None
            if grid is not None and first is not None:
                trial.register(first[0], first[0].instance(grid.base))
        elif target.kind == "train":
            world = World(program, target)
            trial.register(world, world.instance(target))
        else:
            trial.null.spec(trial.null.instance(target))
    except Problem as error:
        error.report(program.diagnostics)
    return program.diagnostics.items


def _concerns(found: Diagnostic, overlay: Decl) -> bool:
    """Whether a mistake is one of an overlay's text."""
    spans = [found.span, *(label.span for label in found.labels)]
    return any(
        span is not None
        and span.source == overlay.span.source
        and overlay.span.start <= span.start
        and span.end <= overlay.span.end
        for span in spans
    )
