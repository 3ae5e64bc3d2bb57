"""The plan: everything a run needs, with no name left to resolve.

A plan folder holds `plan.jsonl` (header, nodes, points, targets; one canonical JSON object a line) and
`sourcemap.jsonl` (where every value comes from). What is read back equals what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from attrs import Factory, frozen

from .schema import fields
from .shown import Shown

FORMAT = 1


@frozen(repr=False)
class Place(Shown):
    """A place in a source file: path relative to the plan's root, 1-based line and column, and the text covered."""

    path: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@frozen(repr=False)
class SourceFile(Shown):
    """A file that the plan was compiled from, relative to the root."""

    path: str
    sha256: str


@frozen(repr=False)
class Header(Shown):
    """What a plan was made from."""

    name: str
    root: str
    sources: tuple[SourceFile, ...]
    overlays: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    format: int = FORMAT
    edition: int = 1


@frozen(repr=False)
class Lack(Shown):
    """What of a block this version cannot run, in a reader's words, and where it is written."""

    what: str
    place: Place


@frozen(repr=False)
class Node(Shown):
    """One component of the runtime graph. `spec` is an instance of a registered variant; its refs are node ids.

    `id` = identity(spec). `name` is the block that declared it and takes no part in the identity. `lacks` is what of
    it can be checked and not run.
    """

    id: str
    spec: Any
    name: str = ""
    place: Place | None = None
    lacks: tuple[Lack, ...] = ()


@frozen(repr=False)
class Point(Shown):
    """One run of a grid, or a train on its own (`grid` is then the train's name and `axes` is empty).

    Attributes:
        run: id of the Trainer node; points may share it.
        evals: ids of the attached evaluations by block name. probes: likewise.
        values: compile-time values of the paths that plots, tables and names read (`model.params`, `seed`);
            None where a run must read a file first.
    """

    grid: str
    name: str
    axes: dict[str, Any]
    run: str
    evals: dict[str, str] = Factory(dict)
    probes: dict[str, str] = Factory(dict)
    values: dict[str, Any] = Factory(dict)


@frozen(repr=False)
class Target(Shown):
    """A block that `lmc run` accepts by name, and the nodes it stands for. `default`: run without being named."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    default: bool = True


@frozen(repr=False)
class Plan(Shown):
    """A compiled experiment. Nodes are in an order in which inputs come before what needs them."""

    header: Header
    nodes: dict[str, Node]
    points: tuple[Point, ...]
    targets: tuple[Target, ...]


@frozen(repr=False)
class Origin(Shown):
    """One link of a value's history, strongest first: what set it, where, and to what."""

    source: str
    place: Place | None
    text: str


def references(spec: Any, *, meant: bool = False) -> Iterator[str]:
    """Yield the node ids that a spec refers to, in the order of its fields; `meant`: those of its identity alone."""
    cls: Any = type(spec)
    for name, identity in _references(cls):
        value = getattr(spec, name) if identity or not meant else None
        if value is not None:
            for item in (value,) if isinstance(value, str) else value:
                yield item.split("/")[0]


@cache
def _references(cls: Any) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a class that refer to nodes, and whether they are part of its identity."""
    found = ((name, field.metadata) for name, field in fields(cls).items() if name != "sources")
    return tuple((name, bool(metadata["identity"])) for name, metadata in found if metadata["ref"])


def closure(nodes: dict[str, Node], wanted: Iterable[str]) -> list[str]:
    """Return the wanted nodes and all that they refer to, in the order of `nodes`."""
    found: set[str] = set()
    stack = list(wanted)
    while stack:
        node_id = stack.pop()
        if node_id not in found:
            found.add(node_id)
            stack += references(nodes[node_id].spec)
    return [node_id for node_id in nodes if node_id in found]
