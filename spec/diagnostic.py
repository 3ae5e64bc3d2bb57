"""A diagnostic: what is wrong, where, and what to do. Printed in one place, `compiler/diagnostics/render.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import Factory, define, field, frozen

from .span import Span


@frozen
class Label:
    """A second place that takes part in a diagnostic, with its own words."""

    span: Span
    text: str


@frozen
class Edit:
    """Replace the characters of `span` by `text`."""

    span: Span
    text: str


@frozen
class Diagnostic:
    """One mistake. `code` is stable (`LMnnnn`); `span` is None only for what has no place in a source."""

    code: str
    message: str
    span: Span | None
    label: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    edits: tuple[Edit, ...] = ()
    severity: Literal["error", "warning", "hint"] = "error"


class LmcError(Exception):
    """A diagnostic that ends the current command or node. Raise it for a user's mistake, never for a bug of ours."""

    def __init__(self, diagnostic: Diagnostic, place: tuple[str, int, int, str] | None = None) -> None:
        """Take the mistake and, if it is known, its place in a spec: path, line, column and the text there."""
        super().__init__(diagnostic.message)
        self.diagnostic, self.place = diagnostic, place


def fail(code: str, message: str, span: Span | None = None, help: str = "") -> LmcError:
    """Return an LmcError to raise, for errors that need no labels."""
    return LmcError(Diagnostic(code, message, span, help=help))


class Enough(Exception):
    """There are as many diagnostics as anyone reads: what looks for more of them may end."""


@define
class Diagnostics:
    """The list that passes append to; the driver stops after a pass that recorded errors.

    With `most`, the diagnostic that makes so many raises Enough, and LM0109 says so.
    """

    items: list[Diagnostic] = Factory(list)
    most: int | None = None
    _told: set[tuple[str, Span | None]] = field(init=False, factory=set, eq=False, repr=False)

    def add(self, diagnostic: Diagnostic) -> None:
        """Append one diagnostic; the same code at the same span is kept once."""
        key = diagnostic.code, diagnostic.span
        if key in self._told:
            return
        self._told.add(key)
        self.items.append(diagnostic)
        if self.most is not None and len(self.items) >= self.most:
            message = f"there are more mistakes than these {self.most:,}"
            self.items.append(Diagnostic("LM0109", message, diagnostic.span, help="mend these first"))
            raise Enough

    def error(
        self,
        code: str,
        span: Span | None,
        message: str,
        *,
        label: str = "",
        help: str = "",
        labels: tuple[Label, ...] = (),
        edits: tuple[Edit, ...] = (),
    ) -> None:
        """Append an error."""
        self.add(Diagnostic(code, message, span, label, labels, help, edits))

    def sort(self, files: Sequence[str]) -> None:
        """Order by file, as in `files`, and place; at one place what was found first stays first.

        What has no place comes first, other files come behind, and LM0109 stays the last.
        """
        ranks = {path: rank for rank, path in enumerate(files)}

        def key(found: Diagnostic) -> tuple[bool, int, str, int]:
            if found.span is None:
                return found.code == "LM0109", -1, "", 0
            path = found.span.source.path
            return found.code == "LM0109", ranks.get(path, len(ranks)), path, found.span.start

        self.items.sort(key=key)

    @property
    def failed(self) -> bool:
        """Whether any error (not warning or hint) was recorded."""
        return any(d.severity == "error" for d in self.items)
