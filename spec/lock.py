"""A lock: what the inputs of a spec were when they were accepted, a text file to commit beside it.

    lmc-lock 1
    file sha256:86c4e6aa... data/tinyshakespeare.txt
    hub commit:93efa2f0... models/HuggingFaceTB/SmolLM2-135M

A line per input, sorted: its kind, its value, and its name to the end of the line. Lines do not depend on each other,
so that a change of one input is a change of one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, cast

from attrs import Factory, field, frozen

from .diagnostic import LmcError, fail
from .plan import Header
from .span import Source, Span

FORMAT = 1
DIGITS = 12
"""Hex digits of a value that messages show."""
HEAD = f"lmc-lock {FORMAT}"
Kind = Literal["file", "hub", "schema", "url", "vocabulary"]
KINDS: tuple[Kind, ...] = ("file", "hub", "schema", "url", "vocabulary")
"""Bytes of files and of addresses, commits of repositories, tables of databases, what ids of tokenizers stand for."""
LINE = re.compile(rf"({'|'.join(KINDS)}) (sha256:[0-9a-f]{{64}}|commit:[0-9a-f]{{40}}) (\S.*)")
NAME = re.compile(r'[^\s"][^\x00-\x1f\x7f\x85\u2028\u2029]*(?<!\s)')
"""Names that are written as they are; others as strings of JSON."""


@frozen(order=True)
class Input:
    """Something that is read and that the spec does not hold: its kind, and what it is called in the lock."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"`{self.name}`" if self.kind == "file" else f"{self.kind} `{self.name}`"


@frozen
class Lock:
    """Values of inputs: `sha256:` and 64, or `commit:` and 40 hex digits. `places`: where they stand, if in a text."""

    values: dict[Input, str] = Factory(dict)
    places: dict[Input, Span] = field(factory=dict, eq=False, repr=False)

    def with_values(self, values: Mapping[Input, str]) -> Lock:
        """Return the lock with these inputs added or changed."""
        return Lock({**self.values, **values}, self.places)


def lock_path(header: Header) -> Path | None:
    """Return where the lock of a plan's spec is, or would be: beside it, `NAME.lock`."""
    return Path(header.sources[0].path).with_suffix(".lock") if header.sources else None


def lock_text(values: Mapping[Input, str]) -> str:
    """Return the text of a lock with these values."""
    lines = (f"{item.kind} {values[item]} {_written(item.name)}" for item in sorted(values))
    return "".join(f"{line}\n" for line in (HEAD, *lines))


def parse_lock(text: str, path: str) -> Lock:
    """Return the lock that a text holds; empty lines and those that begin with `#` say nothing.

    Raises LmcError: LM0702 at a line that is none of a lock, LM0802 for a lock of another version.
    """
    source = Source(path, text)
    values: dict[Input, str] = {}
    places: dict[Input, Span] = {}
    start = 0
    headed = False
    for line in text.split("\n"):
        content = line.rstrip("\r")
        span = Span(source, start, start + len(content))
        start += len(line) + 1
        if not content.strip() or content.startswith("#"):
            continue
        if not headed:
            _check_head(content, span)
            headed = True
            continue
        item, value = _parsed(content, span)
        if item in values:
            raise _damaged(f"{item} stands twice in the lock", span)
        values[item] = value
        digits = span.start + content.index(":") + 1
        places[item] = Span(source, digits, digits + DIGITS)
    if not headed:
        raise fail("LM0702", f"`{path}` is no lock: it is empty", help="write it again: lmc lock FILE")
    return Lock(values, places)


def _check_head(content: str, span: Span) -> None:
    if content == HEAD:
        return
    if re.fullmatch(r"lmc-lock \d+", content):
        help = "use the version of lmc that wrote it, or write it again: lmc lock FILE"
        raise fail("LM0802", f"the lock has format {content.split()[1]}; this version reads {FORMAT}", span, help)
    raise _damaged(f"a lock begins with `{HEAD}`", span)


def _parsed(content: str, span: Span) -> tuple[Input, str]:
    found = LINE.fullmatch(content)
    if found is None:
        raise _damaged("this is no line of a lock: kind, value, name", span)
    kind = cast(Kind, found[1])
    value, name = found.group(2, 3)
    if name.startswith('"'):
        try:
            name = json.loads(name)
        except ValueError:
            name = None
        if not isinstance(name, str):
            raise _damaged("this name is no string of JSON", span)
    return Input(kind, name), value


def _damaged(message: str, span: Span) -> LmcError:
    return fail("LM0702", message, span, help="settle conflicts by hand, or write it again: lmc lock FILE")


def _written(name: str) -> str:
    return name if NAME.fullmatch(name) else json.dumps(name)


@frozen
class Drift:
    """An input that is not as the lock says.

    `locked` is None for one that it does not list, `found` for one that is read no more.
    """

    input: Input
    locked: str | None
    found: str | None


def drifts(lock: Lock, found: Mapping[Input, str], *, whole: bool) -> list[Drift]:
    """Return where inputs differ from a lock, sorted; `whole`: also what it lists and nothing reads."""
    changed = [Drift(item, lock.values.get(item), value) for item, value in found.items()]
    gone = [Drift(item, value, None) for item, value in lock.values.items() if item not in found] if whole else []
    return sorted((d for d in (*changed, *gone) if d.locked != d.found), key=lambda drift: drift.input)


def short(value: str) -> str:
    """Return a value as messages show it."""
    return value.partition(":")[2][:DIGITS]


def change_line(drift: Drift) -> str:
    """Return what becomes of an input, a line for people."""
    if drift.locked is None or drift.found is None:
        return f"{'+' if drift.locked is None else '-'} {drift.input}"
    return f"~ {drift.input}  {short(drift.locked)} -> {short(drift.found)}"


def names(items: Iterable[Input], most: int) -> str:
    """Return inputs as a sentence lists them, the first `most` of them."""
    listed = [str(item) for item in items]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")
