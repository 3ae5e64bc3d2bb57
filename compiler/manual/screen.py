"""Pages of the manual as a terminal shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..diagnostics.codes import CODES, FAMILIES
from .describe import FieldDoc, KindDoc, VariantDoc, describe_kind, kinds
from .topics import topics
from .written import FUNCTION_DOCS, KINDS, TYPES

WIDEST = 100


class Screen:
    """Lays out text in a number of columns; `bold` marks headings where the terminal shows it."""

    def __init__(self, columns: int, *, bold: bool = False) -> None:
        """Take the width of the terminal."""
        self.columns, self.bold = max(40, min(columns, WIDEST)), bold

    def index(self) -> str:
        """Return what there is to ask for."""
        lines = [self._head("lmc docs WORD"), "", self._head("kinds")]
        lines += [line for kind in sorted(KINDS) for line in self._entry(kind, KINDS[kind])]
        lines += ["", self._head("nested blocks")]
        nested = dict.fromkeys(describe_kind(kind).title for kind in kinds() if kind not in KINDS)
        lines += self._wrapped(" ".join(nested), "  ")
        lines += ["", self._head("topics")]
        pages = [topic for topic in topics() if "/" not in topic.name]
        lines += [line for topic in pages for line in self._entry(topic.name, topic.title)]
        lines += self._entry("values", "Types, units and functions")
        for page in pages:
            sections = [t.name.partition("/")[2] for t in topics() if t.name.startswith(f"{page.name}/")]
            if page.name == "language":
                lines += ["", self._head("sections of the language"), *self._wrapped(" ".join(sections), "  ")]
        lines += ["", self._head("diagnostics")]
        for family, title in FAMILIES.items():
            codes = [code for code in CODES if code[2:4] == family]
            lines += self._entry(f"{codes[0]} to {codes[-1][2:]}", title)
        return "\n".join(lines) + "\n"

    def values(self) -> str:
        """Return types and functions."""
        lines = [self._head("types")]
        lines += [line for name, text in TYPES.items() for line in self._entry(name, text.replace("`", ""))]
        lines += ["", self._head("functions")]
        for function in FUNCTION_DOCS.values():
            lines += [f"  {function.call}", *self._wrapped(function.doc, "      ")]
        return "\n".join(lines) + "\n"

    def kind(self, kind: KindDoc) -> str:
        """Return a kind or nested block with all its variants."""
        lines = [self._head(kind.title), *self._wrapped(kind.doc)]
        if kind.within:
            held = ", ".join(dict.fromkeys(kind.within))
            lines += self._wrapped(f"Written as {' or '.join(kind.spellings)} in {held}.")
        for variant in kind.variants:
            lines += ["", *self._variant(kind, variant)]
        return "\n".join(lines) + "\n"

    def variant(self, kind: KindDoc, variant: VariantDoc) -> str:
        """Return one variant with its fields."""
        return "\n".join(self._variant(kind, variant)) + "\n"

    def field(self, title: str, field: FieldDoc) -> str:
        """Return one field; `title` is the block that has it."""
        return "\n".join([self._head(title), *self._field(field)]) + "\n"

    def _variant(self, kind: KindDoc, variant: VariantDoc) -> Iterator[str]:
        yield self._head(f"{kind.title} : {variant.name}" if variant.name else f"{kind.title} {{ }}")
        for paragraph in variant.doc.split("\n\n"):
            yield from self._wrapped(paragraph)
        for field in variant.fields:
            yield from self._field(field)
        for name, doc in variant.readable:
            yield from (f"  {name}", *self._wrapped(f"{doc} Computed, for expressions to read.", "      "))

    def _field(self, field: FieldDoc) -> Iterator[str]:
        yield from self._wrapped(f"{field.name}: {field.facts()}", "  ")
        yield from self._wrapped(" ".join(filter(None, [field.doc, field.notes()])), "      ")

    def _entry(self, name: str, text: str) -> list[str]:
        return textwrap.wrap(
            text, self.columns, initial_indent=f"  {name:<16} ", subsequent_indent=" " * 19, break_long_words=False
        )

    def _wrapped(self, text: str, indent: str = "") -> list[str]:
        return textwrap.wrap(
            text, self.columns, initial_indent=indent, subsequent_indent=indent, break_long_words=False
        )

    def _head(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self.bold else text
