"""What differs between two plans, as it is told."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ...spec.plan import Point


@frozen
class Block:
    """A block that one side alone has, or one that is called otherwise on the other (`other`)."""

    kind: str
    name: str
    place: str
    other: str = ""


@frozen
class FieldChange:
    """A field of a block that has another value.

    Attributes:
        points: at how many points it differs; 0 for a block that no run reads.
        origins: where the values were set, `file:line`, or what they follow from.
    """

    kind: str
    block: str
    path: str
    old: Any
    new: Any
    points: int
    origins: tuple[str, str]
    derived: bool = False


@frozen
class Runs:
    """The runs of a block: ids that both sides have, and points of one side alone."""

    block: str
    kind: str
    kept: tuple[str, ...]
    changed: tuple[tuple[Point, Point], ...]
    added: tuple[Point, ...]
    removed: tuple[Point, ...]


@frozen
class Comparison:
    """All that differs between two sides."""

    added: tuple[Block, ...]
    removed: tuple[Block, ...]
    renamed: tuple[Block, ...]
    changes: tuple[FieldChange, ...]
    runs: tuple[Runs, ...]

    @property
    def empty(self) -> bool:
        """Whether no value differs."""
        points = any(runs.changed or runs.added or runs.removed for runs in self.runs)
        return not (self.added or self.removed or self.changes or points)
