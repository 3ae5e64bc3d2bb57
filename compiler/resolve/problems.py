"""How a mistake leaves an evaluation: as an exception that carries its diagnostic, or none if it was reported."""

from __future__ import annotations

from ...spec.diagnostic import Diagnostic, Diagnostics, Edit, Label
from ...spec.span import Span


class Problem(Exception):
    """A value does not exist because of a mistake; `diagnostic` is None where the mistake was reported before.

    `more` are other mistakes of the same block.
    """

    def __init__(self, diagnostic: Diagnostic | None, more: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__("" if diagnostic is None else diagnostic.message)
        self.diagnostic = diagnostic
        self.more = more

    def told(self) -> tuple[Diagnostic, ...]:
        """Return every mistake that is to be told."""
        return () if self.diagnostic is None else (self.diagnostic, *self.more)

    def report(self, diagnostics: Diagnostics) -> None:
        """Tell every mistake."""
        for diagnostic in self.told():
            diagnostics.add(diagnostic)


READ = {
    "tokenizer": ("reads the tokenizer's file", "set the model's `vocab`, or use a named encoding"),
    "examples": ("counts its examples", "write a number, or set `steps` in place of `epochs`"),
    "tokens": ("counts what its steps read", "write a number, or one that follows from `steps`"),
    "passes": ("counts its examples", "write a number, or set `epochs` in place of the length"),
}
"""What a run does before it knows a value, and what to write to have it at once, by the schema's word for it."""


class Unknown(Problem):
    """A value follows from what only a run reads; `what` is the schema's word for that."""

    def __init__(self, diagnostic: Diagnostic, what: str) -> None:
        super().__init__(diagnostic)
        self.what = what


class Early(Problem):
    """What an axis decides was asked for before there are points."""


def problem(
    code: str,
    span: Span | None,
    message: str,
    *,
    help: str = "",
    label: str = "",
    labels: tuple[Label, ...] = (),
    edits: tuple[Edit, ...] = (),
) -> Problem:
    """Return a problem to raise."""
    return Problem(Diagnostic(code, message, span, label, labels, help, edits))


def unknown(span: Span | None, name: str, what: str) -> Unknown:
    """Return the problem of a value that has to be known now."""
    does, help = READ[what]
    return Unknown(Diagnostic("LM0311", f"`{name}` is known only when the run {does}", span, help=help), what)


def poison() -> Problem:
    """Return the problem of what follows from a mistake that was reported where it was made.

    Each is its own: one that is raised again and again would keep the frames of every raise.
    """
    return Problem(None)
