"""What is said about the name under the pointer: what it is, its value here, and what set that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from ...spec.schema import REGISTRY, SPELLINGS, fields
from ...spec.span import Span
from ..manual.describe import FieldDoc, describe_field, describe_kind, describe_variant
from ..manual.written import BLOCKS, FUNCTION_DOCS, FunctionDoc
from ..plan.why import origin_lines, value_text
from ..resolve.cells import is_map
from ..resolve.declare import Decl, Module
from ..resolve.grids import plain
from ..resolve.values import shown
from ..syntax import tree
from .hints import facts
from .names import Occurrence
from .places import Symbol
from .workspace import Analysis

WORDS = {
    "edition": "The edition of the language that the file is written in.",
    "this": "The innermost block: `this.name` is its field, never a name of the file.",
    "file": "The file: `file.name` is a block, constant or import of it, never a field.",
    "kind": "The variant of the block, as a string.",
    "import": 'Names another file: `import "shared.lmspec" as sh`, then `sh.block`.',
    "let": "A constant of the file; of a grid, inside `over` or `zip`, an axis with a name of its own.",
    "assert": "A condition that must hold, at every point of a grid.",
    "unset": "Back to the default of the schema; takes an axis away in an overlay.",
    "none": "No value, where a field may be without one.",
}
LATE_DOCS = {
    "mean": FunctionDoc("mean(x)", "The mean over the axes that are left."),
    "since_best": FunctionDoc("since_best(metric)", "Evaluations since the best one: `since_best(val.loss) >= 5`."),
}
"""What only plots and conditions of runs know."""
MOST_LISTED = 8
"""Values of an axis that are all told."""


@frozen
class Hover:
    """Markdown about a span."""

    text: str
    span: Span


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """Return what is known about the name or keyword at a character."""
    found = None if analysis.names is None else analysis.names.at(str(analysis.path), offset)
    if found is not None:
        text = "\n\n".join(filter(None, _told(analysis, found)))
        return Hover(text, found.span) if text else None
    word = _word(analysis, offset)
    return Hover(WORDS[word.text], word) if word is not None and word.text in WORDS else None


def _word(analysis: Analysis, offset: int) -> Span | None:
    text = analysis.source.text
    start = end = offset
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return Span(analysis.source, start, end) if start < end else None


def _told(analysis: Analysis, found: Occurrence) -> Iterator[str]:
    symbol = found.symbol
    if symbol.role == "field":
        described = field_doc(symbol)
        yield described.markdown() if described is not None else f"**{symbol.name}**"
        yield from [*_axis(analysis, found)] or _value(found)
    elif symbol.role == "property":
        yield f"**{symbol.name}**\n\n{_property(symbol)}"
        yield from _value(found)
    elif symbol.role == "variant":
        yield describe_variant(REGISTRY[symbol.home[0]][symbol.name]).markdown()
    elif symbol.role == "kind":
        yield describe_kind(symbol.name).markdown() if symbol.name in (*REGISTRY, *BLOCKS) else f"**{symbol.name}**"
    elif symbol.role == "function":
        described_call = LATE_DOCS.get(symbol.name) or FUNCTION_DOCS.get(symbol.name)
        yield f"**{symbol.name}**" if described_call is None else f"```lmspec\n{described_call.call}\n```"
        yield "" if described_call is None else described_call.doc
    elif symbol.role == "block":
        yield from _block(analysis, symbol)
    elif symbol.role == "let":
        yield from _constant(analysis, symbol)
    elif symbol.role in ("import", "file"):
        target = symbol.definition.source.path if symbol.role == "file" and symbol.definition else symbol.name
        yield f"{'file' if symbol.role == 'file' else 'import'} `{target}`"
    elif symbol.role == "keyword":
        yield WORDS.get(symbol.name, "")
    elif symbol.role == "column":
        yield f"`{symbol.name}`: a column of the records" if not symbol.home else _metric(symbol)
    elif symbol.role == "part":
        yield _header(analysis, symbol)
    elif symbol.role in ("variable", "key"):
        yield "\n".join(_axis(analysis, found)) or f"{symbol.role} `{symbol.name}`"


def _axis(analysis: Analysis, found: Occurrence) -> Iterator[str]:
    """Yield the values of an axis of a grid, where it is written."""
    grids = {} if analysis.builder is None else analysis.builder.grids
    for name, grid in grids.items():
        for axis in grid.axes:
            if axis.names[-1].span == found.span:
                values = [axis_text(value.value) for value in axis.values]
                listed = values if len(values) <= MOST_LISTED else [*values[:6], "...", values[-1]]
                told = ", ".join(value if value == "..." else f"`{value}`" for value in listed)
                yield f"Axis of grid `{name}`, {len(values):,} values: {told}"


def axis_text(value: object) -> str:
    """Return a value of an axis as it would be written."""
    found = plain(value)
    return found if isinstance(found, str) and not isinstance(value, str) else shown(found)


def _metric(symbol: Symbol) -> str:
    return f"`{symbol.home[0]}.{symbol.name}`: a metric of eval `{symbol.home[0]}`"


def _header(analysis: Analysis, symbol: Symbol) -> str:
    """Return how a nested block with a name begins, where it is made."""
    span = symbol.definition
    modules = () if analysis.program is None else analysis.program.modules
    module = None if span is None else next((m for m in modules if m.source.path == span.source.path), None)
    block = None if module is None or span is None else _named_at(module.file.items, span)
    if block is None or block.name is None:
        return f"part `{symbol.name}`"
    base = "" if block.base is None else f" : {block.base.span.text}"
    return f"```lmspec\n{block.kind.text} {block.name.text}{base}\n```"


def _named_at(items: tuple[tree.Item, ...], span: Span) -> tree.Block | None:
    for item in items:
        if isinstance(item, tree.Block) and item.span.start <= span.start < item.span.end:
            return item if item.name is not None and item.name.span == span else _named_at(item.items, span)
    return None


def field_doc(symbol: Symbol) -> FieldDoc | None:
    """Return the manual's words about a field."""
    kind, variant = symbol.home
    if kind in BLOCKS:
        return next((field for field in BLOCKS[kind].fields(describe_field) if field.name == symbol.name), None)
    cls = REGISTRY.get(kind, {}).get(variant)
    if cls is None:
        return None
    name = SPELLINGS.get(symbol.name, symbol.name)
    repeated = next((f for f, a in fields(cls).items() if a.metadata["repeat"] == symbol.name), name)
    return describe_field(cls, repeated) if repeated in fields(cls) else None


def _property(symbol: Symbol) -> str:
    cls = REGISTRY.get(symbol.home[0], {}).get(symbol.home[1])
    return WORDS["kind"] if symbol.name == "kind" else dict(describe_variant(cls).readable)[symbol.name] if cls else ""


def _value(found: Occurrence) -> Iterator[str]:
    """Yield the value of a field where it is read or set, and the chain of what set it."""
    if found.place is None:
        return
    cell, world = found.place.cell, found.place.world
    name = SPELLINGS.get(found.symbol.name, found.symbol.name)
    value = None if name in fields(cell.cls) and is_map(cell.cls, name) else value_text(world, cell, found.symbol.name)
    if value is None:
        return
    folder = f"{Path(found.span.source.path).parent}{os.sep}"
    lines = [f"  {line.replace(folder, '')}" for line in origin_lines(world, cell, name)]
    shown_value = value.replace("\n", "\\n")
    yield "\n".join(["````text", f"{found.symbol.name} = {shown_value}", *lines, "````"])


def _block(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    decl = _declared(analysis, symbol)
    if not isinstance(decl, Decl):
        yield f"block `{symbol.name}`"
        return
    base = "" if decl.base is None else f" : {decl.base.span.text}"
    yield f"```lmspec\n{decl.kind} {decl.name}{base}\n```"
    yield _comment(decl.module, decl.span)
    yield "\n".join(f"- {fact}" for fact in facts(analysis, decl))


def _constant(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    let = _declared(analysis, symbol)
    if isinstance(let, tree.Let) and symbol.definition is not None:
        yield f"```lmspec\n{' '.join(let.span.text.split())}\n```"
        value = analysis.names.lookup.constant(let) if analysis.names is not None else None
        if value is not None and shown(value) != let.value.span.text:
            yield f"= `{shown(value)}`"


def _declared(analysis: Analysis, symbol: Symbol) -> Decl | Module | tree.Let | None:
    assert analysis.program is not None
    home = next((m for m in analysis.program.modules if m.source.path == symbol.home[0]), None)
    return None if home is None else home.names.get(symbol.name)


def _comment(module: Module, span: Span) -> str:
    """Return the comment right above a block."""
    lines: list[str] = []
    by_line = {comment.span.line: comment.text for comment in module.file.comments}
    line = span.line - 1
    while line in by_line and module.source.line(line).lstrip().startswith("#"):
        lines.insert(0, by_line[line].lstrip("#").strip())
        line -= 1
    return "\n".join(lines)
