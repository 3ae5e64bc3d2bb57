"""What a word asks for: a code, a kind, a variant, a field or a topic."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from ..diagnostics.codes import CODES
from .describe import KindDoc, describe_kind, kinds
from .pages import code_page
from .screen import Screen
from .topics import find_topic, topics
from .written import FUNCTION_DOCS


def page(word: str, screen: Screen) -> str | None:
    """Return the page that `KIND[.VARIANT][.FIELD]`, a code or a topic asks for; None if there is none.

    A field alone is shown of every variant that has it.
    """
    if word.upper() in CODES:
        return code_page(CODES[word.upper()])
    if word in ("values", "types", "functions", "units") or (word in FUNCTION_DOCS and word not in kinds()):
        return screen.values()
    found = [text for kind in kinds() for text in _within(describe_kind(kind), word, screen)]
    if found:
        return "\n".join(found)
    topic = find_topic(word)
    return "\n".join(_fields(word, screen)) or None if topic is None else topic.text


def near(word: str) -> list[str]:
    """Return words that are spelt like this one."""
    known = {*kinds(), *CODES}
    for kind in map(describe_kind, kinds()):
        known |= {
            kind.title,
            *(f"{kind.title}.{v.name}" for v in kind.variants if v.name),
            *(v.name for v in kind.variants),
        }
        known |= {field.name for variant in kind.variants for field in variant.fields}
    for topic in topics():
        known |= topic.words
    return difflib.get_close_matches(word, sorted(filter(None, known)), 3)


def _fields(word: str, screen: Screen) -> Iterator[str]:
    """Yield the field of that name in each variant that has it."""
    for kind in map(describe_kind, kinds()):
        for variant in kind.variants:
            field = variant.field(word)
            if field is not None:
                yield screen.field(f"{kind.title} : {variant.name}" if variant.name else kind.title, field)


def _within(kind: KindDoc, word: str, screen: Screen) -> list[str]:
    """Return what of a kind a dotted word names: the kind, one variant, or a field, with or without the variant."""
    if word == kind.kind or word in kind.spellings:
        return [screen.kind(kind)]
    names = {kind.kind, *kind.spellings}
    found = []
    for variant in kind.variants:
        title = f"{kind.title} : {variant.name}" if variant.name else kind.title
        if variant.name and word in {variant.name, *(f"{name}.{variant.name}" for name in names)}:
            found.append(screen.variant(kind, variant))
        for field in variant.fields:
            owners = {*names, *(f"{name}.{variant.name}" for name in names), variant.name}
            if word in {f"{owner}.{field.name}" for owner in owners if owner}:
                found.append(screen.field(title, field))
    return found
