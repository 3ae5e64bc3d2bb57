"""How a mistake leaves an evaluation: as an exception that carries its diagnostic, or none if it was reported."""

from __future__ import annotations

from ...spec.diagnostic import Diagnostic, Edit, Label
from ...spec.span import Span


class Problem(Exception):
    """A value does not exist because of a mistake; `diagnostic` is None where the mistake was reported before."""

    def __init__(self, diagnostic: Diagnostic | None) -> None:
        super().__init__("" if diagnostic is None else diagnostic.message)
        self.diagnostic = diagnostic


class Unknown(Problem):
    """A value follows from a file that only a run reads."""


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


def unknown(span: Span | None, name: str) -> Unknown:
    """Return the problem of a value that has to be known now."""
    message = f"`{name}` is known only when the run reads the tokenizer's file"
    return Unknown(Diagnostic("LM0311", message, span, help="set the model's `vocab`, or use a named encoding"))


POISON = Problem(None)
"""What follows from a mistake that was reported where it was made."""
