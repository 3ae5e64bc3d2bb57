"""What a tool is, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from attrs import frozen

Outcome = Literal["answered", "empty", "malformed", "too_many", "error"]


@frozen
class Answer:
    """What a tool says.

    Attributes:
        text: plain text, for `answered` alone; whatever it spells, it never becomes a special token.
        detail: for people: what went wrong, the statement that ran. A model is never told.
    """

    outcome: Outcome
    text: str | None = None
    detail: str = ""


class Tool(Protocol):
    """Answers the calls of one protocol, from several threads at once.

    Two class attributes are optional: `concurrency`, how many calls run at once, and `slack`, the seconds beyond the
    protocol's `timeout` after which it is given up, for a tool that keeps its time limit itself.
    """

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Answer a call; whatever a model wrote is an answer too. Raises LmcError (LM0902) if the database is gone."""

    def close(self) -> None:
        """Let go of processes and connections; a later call makes them again."""


def decoded(captures: Mapping[str, bytes]) -> dict[str, str]:
    """Return captures as text; what is not UTF-8 becomes U+FFFD."""
    return {name: text.decode(errors="replace") for name, text in captures.items()}


def cut(text: str, limit: int) -> str:
    """Return the longest beginning of a text that has at most `limit` bytes and only whole characters."""
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def first_line(error: BaseException) -> str:
    """Return the first line of an error, for people."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]
