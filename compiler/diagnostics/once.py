"""One mistake, one message: what follows from a mistake that is told is left out."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable

from attrs import evolve

from ...spec.diagnostic import Diagnostic, Label

BLOCK = re.compile(r"^[a-z]", re.MULTILINE)
SHOWN = 3
"""How many more places of an undefined name are shown."""


def once(ordered: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return diagnostics without those that follow from others; they come in the order of files and places."""
    return _one_a_name(without_consequences(ordered))


def without_consequences(ordered: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return diagnostics without what is told only because a text could not be read; names stay told at each place."""
    return _of_sound_blocks(_until_braces_match(list(ordered)))


def _until_braces_match(found: list[Diagnostic]) -> list[Diagnostic]:
    """Leave the first mistake of a file whose braces do not match, and nothing of what any file means.

    Where a block ends is not known then, so that whatever is told beside it may be no mistake.
    """
    broken = {told.span.source.path for told in found if told.span is not None and _of_braces(told)}
    if not broken:
        return found
    kept: list[Diagnostic] = []
    seen: set[str] = set()
    for told in found:
        path = "" if told.span is None else told.span.source.path
        if told.code.startswith("LM01") and path not in seen:
            kept.append(told)
            seen |= broken & {path}
    return kept


def _of_braces(told: Diagnostic) -> bool:
    return told.code == "LM0103" or (told.code == "LM0102" and told.span is not None and told.span.text == "}")


def _of_sound_blocks(found: list[Diagnostic]) -> list[Diagnostic]:
    """Leave out what a block means while it cannot be read, and what is doubtful about it while it is wrong."""
    blocks = _blocks(found)
    unread = {block for told, block in zip(found, blocks, strict=True) if told.code.startswith("LM01")} - {None}
    wrong = {block for told, block in zip(found, blocks, strict=True) if told.severity == "error"} - {None}
    return [
        told
        for told, block in zip(found, blocks, strict=True)
        if (told.code.startswith("LM01") or block not in unread) and (told.severity == "error" or block not in wrong)
    ]


def _blocks(found: list[Diagnostic]) -> list[tuple[str, int] | None]:
    """Return for each diagnostic the file and the number of the block that it is in; blocks begin in column 1."""
    starts: dict[str, list[int]] = {}
    blocks: list[tuple[str, int] | None] = []
    for told in found:
        if told.span is None:
            blocks.append(None)
            continue
        source = told.span.source
        if source.path not in starts:
            starts[source.path] = [match.start() for match in BLOCK.finditer(source.text)]
        blocks.append((source.path, bisect(starts[source.path], told.span.start)))
    return blocks


def _one_a_name(found: list[Diagnostic]) -> list[Diagnostic]:
    """Tell a name that is not defined once for all places of a file; an edit changes it in all of them."""
    groups: dict[tuple[str, str], list[Diagnostic]] = {}
    for told in found:
        if told.code == "LM0207" and told.span is not None:
            groups.setdefault((told.span.source.path, told.message), []).append(told)
    grouped = {id(one): group for group in groups.values() if len(group) > 1 for one in group}
    return [_joined(grouped[id(told)]) if id(told) in grouped else told for told in found if _leads(told, grouped)]


def _leads(told: Diagnostic, grouped: dict[int, list[Diagnostic]]) -> bool:
    return id(told) not in grouped or grouped[id(told)][0] is told


def _joined(group: list[Diagnostic]) -> Diagnostic:
    first, *others = group
    places = [told.span for told in others if told.span is not None]
    more = len(places) - SHOWN
    labels = [Label(span, "and here") for span in places[:SHOWN]]
    if more > 0:
        labels[-1] = evolve(labels[-1], text=f"and here, and at {more:,} other {'place' if more == 1 else 'places'}")
    edits = tuple(dict.fromkeys(edit for told in group for edit in told.edits))
    return evolve(first, labels=(*first.labels, *labels), edits=edits)
