"""The reference as Markdown: a page per kind, a page per code, and an index. Nothing is written here by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...spec.diagnostic import Diagnostic, LmcError
from ..diagnostics.codes import CODES, FAMILIES, Code
from ..diagnostics.render import render_text
from ..resolve.functions import FUNCTIONS
from .describe import FieldDoc, KindDoc, VariantDoc, describe_kind, kinds
from .written import FUNCTION_DOCS, KINDS, TYPES


def write_manual(folder: Path) -> int:
    """Write every page below a folder and return how many. Raises LmcError (LM0804)."""
    count = 0
    try:
        for name, text in pages():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            count += 1
    except OSError as error:
        message = f"`{folder}` cannot be written: {error.strerror}"
        raise LmcError(Diagnostic("LM0804", message, None, help="choose another folder")) from error
    return count


def pages() -> Iterator[tuple[str, str]]:
    """Yield path and text of every page."""
    yield "index.md", index_page()
    yield "values.md", values_page()
    for kind in kinds():
        yield f"{kind}.md", kind_page(describe_kind(kind))
    for code in CODES.values():
        yield f"codes/{code.code}.md", code_page(code)


def index_page() -> str:
    """Return the page that leads to all others."""
    lines = ["# Reference of `.lmspec`", "", "Made by `lmc docs --write` from the program that reads the files.", ""]
    lines += ["[Types, units and functions](values.md).", "", "## Kinds", ""]
    lines += [f"- [`{kind}`]({kind}.md): {KINDS[kind]}" for kind in sorted(KINDS)]
    lines += ["", "## Nested blocks", ""]
    for kind in kinds():
        if kind not in KINDS:
            described = describe_kind(kind)
            lines.append(f"- [`{described.title}`]({kind}.md) of {_linked(described, '')}")
    lines += ["", "## Diagnostics", ""]
    for family, title in FAMILIES.items():
        lines += [f"**{title}**", ""]
        lines += [
            f"- [{code.code}](codes/{code.code}.md): {code.title}"
            for code in CODES.values()
            if code.code[2:4] == family
        ]
        lines.append("")
    return "\n".join(lines)


def values_page() -> str:
    """Return the page of types, units and functions."""
    lines = ["# Types, units and functions", "", "| type | written |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in TYPES.items()]
    lines += ["", "## Functions", "", "| call | gives |", "|---|---|"]
    lines += [f"| `{FUNCTION_DOCS[name].call}` | {_cell(FUNCTION_DOCS[name].doc)} |" for name in FUNCTIONS]
    return "\n".join(lines) + "\n"


def kind_page(kind: KindDoc) -> str:
    """Return the page of a kind or nested block: its variants and their fields."""
    lines = [f"# `{kind.title}`", "", kind.doc, ""]
    if kind.within:
        words = " or ".join(f"`{word}`" for word in kind.spellings)
        lines += [f"Written as {words} in {_linked(kind, '')}.", ""]
    if len(kind.variants) > 1:
        listed = ", ".join(f"`{variant.name or kind.title}`" for variant in kind.variants)
        lines += [f"Variants: {listed}.", ""]
    for variant in kind.variants:
        lines += _variant(kind, variant)
    return "\n".join(lines)


def _variant(kind: KindDoc, variant: VariantDoc) -> Iterator[str]:
    title = f"{kind.title} : {variant.name}" if variant.name else kind.title
    yield from (f"## `{title}`", "", variant.doc, "")
    if variant.fields:
        yield from ("| field | type | default | meaning |", "|---|---|---|---|")
        yield from map(_row, variant.fields)
        yield ""
    if variant.readable:
        yield from ("Computed, for expressions to read:", "")
        yield from (f"- `{name}`: {doc}" for name, doc in variant.readable)
        yield ""


def _row(field: FieldDoc) -> str:
    name = f"[`{field.name}`]({field.holds}.md)" if field.holds else f"`{field.name}`"
    default = "required" if field.required else f"`{field.default}`" if field.default else ""
    allowed = f"{field.range[:1].upper()}{field.range[1:]}." if field.range else ""
    meaning = " ".join(filter(None, [field.doc, allowed, field.notes()]))
    return f"| {name} | {_cell(field.type)} | {_cell(default)} | {_cell(meaning)} |"


def _linked(kind: KindDoc, up: str) -> str:
    """Return the blocks that hold a nested one, each a link to its page."""
    found = []
    for holder in kind.within:
        word = holder.partition(" : ")[0]
        shown = describe_kind(word).title + holder[len(word) :]
        found.append(f"[`{shown}`]({up}{word}.md)")
    return ", ".join(found)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code_page(code: Code) -> str:
    """Return the page of a diagnostic: what it means, a file or commands that have it, what is said, and a repair."""
    lines = [f"# {code.code}: {code.title}", "", code.explanation, ""]
    if code.how:
        lines += [f"For example: {code.how}.", ""]
    examples = code.examples()
    if examples is not None:
        failing, fixed = examples
        lines += ["Wrong:", "", "```lmspec", failing.rstrip(), "```", "", "`lmc check` says:", ""]
        lines += ["```text", said(failing).rstrip(), "```", "", "Right:", "", "```lmspec", fixed.rstrip(), "```", ""]
    session = code.session()
    if session is not None:
        wrong, told, right = (text.rstrip() for text in session)
        lines += ["Wrong:", "", "```sh", wrong, "```", "", "Then it says:", "", "```text", told, "```", ""]
        lines += ["What repairs it:", "", "```sh", right, "```", ""]
    return "\n".join(lines)


def said(text: str) -> str:
    """Return what the compiler says of a file's text."""
    from ..pipeline import compile_spec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.lmspec"
        path.write_text(text, encoding="utf-8")
        (path.parent / "book.txt").write_text("a book", encoding="utf-8")
        found = compile_spec(path).diagnostics.items
        return render_text(found).replace(f"{folder}/", "")
