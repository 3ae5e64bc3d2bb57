"""Where in a file what a rule or a plan speaks of was written."""

from __future__ import annotations

from ...spec.diagnostic import Diagnostic, Edit, Label
from ...spec.plan import Place
from ...spec.span import Span
from ...spec.violation import Violation
from ..resolve.cells import Cell
from ..resolve.world import World


def diagnosis(world: World, cell: Cell, violation: Violation) -> Diagnostic:
    """Return what is told of a rule that a block breaks, at each of the values that take part."""
    spans = [span_at(world, cell, path) for path in violation.paths]
    shown = [spans[0]]
    for span in spans[1:]:
        if not any(span.source == other.source and span.start <= other.start < span.end for other in shown):
            shown.append(span)
    labels = tuple(Label(span, "and here") for span in shown[1:])
    edits = (Edit(spans[0], violation.fix),) if violation.fix else ()
    return Diagnostic(violation.code, violation.message, spans[0], "set here", labels, violation.help, edits)


def span_at(world: World, cell: Cell, path: str) -> Span:
    """Return where the value at a path, as rules write it, was set."""
    head, _, inside = path.partition(".")
    if head in cell.named.get("stages", {}):
        fork = world.border(cell.root).stages[head]
        return span_at(fork, root_of(fork), inside)
    *references, inside = path.split(":")
    for reference in references:
        if reference == "run" and world.root is not None:
            cell = world.root
        else:
            cell = world.instance(world.evaluator.value(cell, reference).decl)
    *blocks, name = inside.split(".")
    for block in blocks:
        cell = (cell.slot(block) if block in cell.slots else None) or cell.block_named(block) or cell
    settings = cell.fields.get(name)
    return settings[-1].expr.span if settings else cell.span


def place_of(span: Span) -> Place:
    """Return a span as a plan keeps it."""
    return Place(span.source.path, span.line, span.column, span.text.split("\n")[0])


def root_of(world: World) -> Cell:
    """Return the train of a world that has one."""
    assert world.root is not None
    return world.root
