"""Between the compiler's values and those of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path

from ...spec.diagnostic import Diagnostic, Edit
from ...spec.span import Source, Span
from .hints import Hint
from .positions import Position, offset_at, position_at, range_of
from .proposals import Item
from .symbols import Entry

SEVERITY = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "hint": types.DiagnosticSeverity.Information,
}
ONLY_A_PLACE = ("set here", "opened here")
"""Words beside a place in a printed message, which say nothing where the place itself is marked."""
PROPOSAL = {
    "block": types.CompletionItemKind.Class,
    "column": types.CompletionItemKind.Property,
    "field": types.CompletionItemKind.Field,
    "file": types.CompletionItemKind.File,
    "function": types.CompletionItemKind.Function,
    "import": types.CompletionItemKind.Module,
    "keyword": types.CompletionItemKind.Keyword,
    "kind": types.CompletionItemKind.Keyword,
    "let": types.CompletionItemKind.Constant,
    "part": types.CompletionItemKind.Struct,
    "property": types.CompletionItemKind.Property,
    "value": types.CompletionItemKind.EnumMember,
    "variable": types.CompletionItemKind.Variable,
    "variant": types.CompletionItemKind.Enum,
}
OUTLINE = {
    "import": types.SymbolKind.Module,
    "constant": types.SymbolKind.Constant,
    "block": types.SymbolKind.Class,
    "part": types.SymbolKind.Struct,
    "field": types.SymbolKind.Field,
}


def path_of(uri: str) -> Path:
    """Return the path of a URI; a text that is in no file gets a name in the working directory."""
    path = to_fs_path(uri)
    return Path(path) if path else Path.cwd() / (Path(unquote(urlsplit(uri).path)).name or "untitled")


def lsp_range(span: Span) -> types.Range:
    """Return a span as the protocol's range."""
    found = range_of(span)
    return types.Range(
        types.Position(found.start.line, found.start.character), types.Position(found.end.line, found.end.character)
    )


def offset(source: Source, position: types.Position) -> int:
    """Return the character offset of the protocol's position."""
    return offset_at(source, Position(position.line, position.character))


def lsp_diagnostic(found: Diagnostic, uris: Mapping[Path, str]) -> types.Diagnostic:
    """Return a diagnostic as the protocol has it; its further places become related information."""
    assert found.span is not None
    label = "" if found.label in ONLY_A_PLACE else found.label
    lines = [found.message, label, f"help: {found.help}" if found.help else ""]
    related = [
        types.DiagnosticRelatedInformation(
            types.Location(uri_of(Path(label.span.source.path), uris), lsp_range(label.span)), label.text or "here"
        )
        for label in found.labels
        if label.span.source.text
    ]
    return types.Diagnostic(
        range=lsp_range(found.span),
        message="\n".join(filter(None, lines)),
        severity=SEVERITY[found.severity],
        code=found.code or None,
        source="lmc",
        related_information=related or None,
    )


def uri_of(path: Path, uris: Mapping[Path, str]) -> str:
    """Return the URI of a file, as its editor wrote it if it is open."""
    return uris.get(path) or path.as_uri()


def lsp_symbol(entry: Entry) -> types.DocumentSymbol:
    """Return a line of the outline as the protocol has it."""
    return types.DocumentSymbol(
        name=entry.name or "?",
        detail=entry.detail,
        kind=OUTLINE[entry.role],
        range=lsp_range(entry.span),
        selection_range=lsp_range(entry.name_span),
        children=[lsp_symbol(inner) for inner in entry.inside],
    )


def completion_item(item: Item, place: types.Range, number: int) -> types.CompletionItem:
    """Return a proposal as the protocol has it; `number` is its place in the list."""
    return types.CompletionItem(
        label=item.label,
        kind=PROPOSAL.get(item.role),
        detail=item.detail or None,
        documentation=types.MarkupContent(types.MarkupKind.Markdown, item.doc) if item.doc else None,
        sort_text=f"{number:04}",
        text_edit=types.TextEdit(place, item.insert),
    )


def inlay_hint(hint: Hint, source: Source) -> types.InlayHint:
    """Return a hint as the protocol has it."""
    at = position_at(source, hint.offset)
    position = types.Position(at.line, at.character)
    return types.InlayHint(position=position, label=hint.text, padding_left=True, padding_right=True)


def workspace_edit(edits: Sequence[Edit], uris: Mapping[Path, str]) -> types.WorkspaceEdit:
    """Return the edits of several files as the protocol has them."""
    changes: dict[str, list[types.TextEdit]] = {}
    for edit in edits:
        change = types.TextEdit(lsp_range(edit.span), edit.text)
        changes.setdefault(uri_of(Path(edit.span.source.path), uris), []).append(change)
    return types.WorkspaceEdit(changes=changes)


def quick_fix(found: Diagnostic, uris: Mapping[Path, str]) -> types.CodeAction:
    """Return the repair that a diagnostic offers."""
    return types.CodeAction(
        title=_repair(found),
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[lsp_diagnostic(found, uris)],
        edit=workspace_edit(found.edits, uris),
        is_preferred=True,
    )


def _repair(found: Diagnostic) -> str:
    """Return what a repair does: its one edit, or else what the message advises."""
    edit = found.edits[0]
    if len(found.edits) > 1:
        return found.help or f"repair {found.code}"
    if not edit.text:
        return f"remove `{edit.span.text}`"
    return f"insert `{edit.text}`" if edit.span.start == edit.span.end else f"write `{edit.text}`"
