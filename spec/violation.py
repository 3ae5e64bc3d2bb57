"""What a broken rule says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

Lookup = Callable[[str], Any]
"""Returns the spec behind a node id."""


@frozen
class Violation:
    """A rule that does not hold: the fields that take part, the first being the one to change.

    A path is the dotted name of a field, after `reference:` if it belongs to the spec that this field refers to.
    `fix` is what the first field could be written as.
    """

    code: str
    message: str
    paths: tuple[str, ...]
    help: str = ""
    fix: str = ""

    def within(self, block: str) -> Violation:
        """Return the same of the fields of a nested block."""
        return evolve(self, paths=tuple(f"{block}.{path}" for path in self.paths))
