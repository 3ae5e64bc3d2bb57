"""Topics: the written documents, and their sections, that `lmc docs` finds by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

DOCS = Path(__file__).resolve().parents[2] / "docs"
"""Beside the packages, in a clone and where lmc is installed."""

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.DOTALL | re.MULTILINE)


@frozen
class Topic:
    """A document, or a section of one; `name` is what is typed: `training`, `language/grids`."""

    name: str
    title: str
    text: str

    @property
    def words(self) -> frozenset[str]:
        """Words that find it: the name, that of the section alone, and those of its heading."""
        return frozenset({self.name, self.name.rpartition("/")[2], *re.findall(r"[a-z0-9]+", self.title.lower())})


def topics(docs: Path = DOCS) -> Iterator[Topic]:
    """Yield every document and its sections, in the order in which they stand."""
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        yield Topic(path.stem, text.partition("\n")[0].lstrip("# "), text)
        hidden = _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block.group()), text)
        headings = list(_HEADING.finditer(hidden))
        for heading, after in zip(headings, [*headings[1:], None], strict=True):
            title = heading.group(1)
            slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            end = after.start() if after else len(text)
            yield Topic(f"{path.stem}/{slug}", title, text[heading.start() : end].rstrip() + "\n")


def find_topic(word: str, docs: Path = DOCS) -> Topic | None:
    """Return the topic of that name; else the first section, of the language's first, whose heading has the word."""
    found = list(topics(docs))
    for topic in found:
        if word == topic.name:
            return topic
    sections = [topic for topic in found if "/" in topic.name]
    sections.sort(key=lambda topic: not topic.name.startswith("language/"))
    return next((topic for topic in sections if word in topic.words), None)
