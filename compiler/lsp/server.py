"""The language server over standard input and output. Each feature is a line to the module that knows the answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from ...spec.diagnostic import Diagnostic, Diagnostics
from ...spec.span import Span
from ..format.format import format_source
from .complete import complete
from .convert import (
    completion_item,
    inlay_hint,
    lsp_diagnostic,
    lsp_range,
    lsp_symbol,
    offset,
    path_of,
    quick_fix,
    uri_of,
    workspace_edit,
)
from .hints import hints
from .hover import hover
from .publish import Publisher
from .references import NotRenamed, definition, references, renamable, rename
from .symbols import outline
from .tokens import MODIFIERS, TYPES, encoded, semantic_tokens
from .workspace import Analysis, Workspace

INVALID_PARAMS = -32602


class Server:
    """The open files of one editor, and its questions about them."""

    def __init__(self) -> None:
        self.language_server = LanguageServer(
            "lmc", version("lmc"), text_document_sync_kind=types.TextDocumentSyncKind.Full
        )
        self.language_server.report_server_error = _log
        self.workspace = Workspace()
        self.uris: dict[Path, str] = {}
        self.publisher = Publisher(self.workspace, self._send, self._counted)
        self._register()
        self._refuse_unreadable()

    def _send(self, path: Path, found: Sequence[Diagnostic]) -> None:
        diagnostics = [lsp_diagnostic(diagnostic, self.uris) for diagnostic in found]
        params = types.PublishDiagnosticsParams(uri_of(path, self.uris), diagnostics)
        self.language_server.text_document_publish_diagnostics(params)

    def _counted(self) -> None:
        """Ask for hints again, for every point of the grids has been looked at."""
        workspace = self.language_server.client_capabilities.workspace
        hints = workspace.inlay_hint if workspace is not None else None
        if hints is not None and hints.refresh_support:
            self.language_server.workspace_inlay_hint_refresh(None)

    def _register(self) -> None:
        self._answer(types.INITIALIZED, self.initialized)
        self._answer(types.TEXT_DOCUMENT_DID_OPEN, self.changed)
        self._answer(types.TEXT_DOCUMENT_DID_CHANGE, self.changed)
        self._answer(types.TEXT_DOCUMENT_DID_CLOSE, self.closed)
        self._answer(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, lambda _: self.publisher.changed())
        self._answer(types.TEXT_DOCUMENT_HOVER, self.hover)
        triggers = types.CompletionOptions(trigger_characters=[".", ":", '"'])
        self._answer(types.TEXT_DOCUMENT_COMPLETION, self.completion, triggers)
        self._answer(types.TEXT_DOCUMENT_INLAY_HINT, self.hints)
        legend = types.SemanticTokensLegend(list(TYPES), list(MODIFIERS))
        self._answer(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, self.tokens, legend)
        self._answer(types.TEXT_DOCUMENT_FORMATTING, self.formatting)
        self._answer(types.TEXT_DOCUMENT_DEFINITION, self.definition)
        self._answer(types.TEXT_DOCUMENT_REFERENCES, self.references)
        self._answer(types.TEXT_DOCUMENT_PREPARE_RENAME, self.prepare_rename)
        self._answer(types.TEXT_DOCUMENT_RENAME, self.rename, types.RenameOptions(prepare_provider=True))
        self._answer(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, self.symbols)
        repairs = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
        self._answer(types.TEXT_DOCUMENT_CODE_ACTION, self.code_actions, repairs)

    def _answer(self, method: str, answer: Callable[[Any], Any], options: Any = None) -> None:
        """Let a function answer a method of the protocol; an error of it is told as its answer."""
        self.language_server.feature(method, options)(lambda params: answer(params))

    def _refuse_unreadable(self) -> None:
        """Answer requests whose parameters make no sense; the library tells them on standard error alone."""
        protocol = self.language_server.protocol
        structured = protocol.structure_message

        def structure(data: Any) -> Any:
            try:
                return structured(data)
            except Exception as error:
                if "id" in data and "method" in data:
                    wrong = {"code": INVALID_PARAMS, "message": f"the parameters make no sense: {error}"}
                    body = json.dumps({"jsonrpc": "2.0", "id": data["id"], "error": wrong}).encode()
                    protocol.writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                raise

        protocol.structure_message = structure

    def initialized(self, params: Any) -> None:
        """Take the folders that the editor has open."""
        folders = self.language_server.workspace.folders.values()
        root = self.language_server.workspace.root_uri
        uris = [folder.uri for folder in folders] or ([root] if root else [])
        self.workspace.folders = [path_of(uri) for uri in uris]

    def changed(self, params: Any) -> None:
        """Take the text of a file that was opened or changed."""
        uri = params.text_document.uri
        path = path_of(uri).resolve()
        self.uris[path] = uri
        self.workspace.write(path, self.language_server.workspace.get_text_document(uri).source)
        if path not in self.publisher.roots:
            self.publisher.roots.append(path)
        self.publisher.changed()

    def closed(self, params: Any) -> None:
        """Forget the text of a file."""
        path = path_of(params.text_document.uri).resolve()
        self.workspace.close(path)
        if path in self.publisher.roots:
            self.publisher.roots.remove(path)
        self.publisher.changed()

    def _at(self, params: Any) -> tuple[Analysis, int]:
        analysis = self.workspace.analysis(path_of(params.text_document.uri))
        return analysis, offset(analysis.source, params.position)

    def _location(self, span: Span) -> types.Location:
        return types.Location(uri_of(Path(span.source.path), self.uris), lsp_range(span))

    def hover(self, params: Any) -> Any:
        """What is said about a name."""
        found = hover(*self._at(params))
        if found is None:
            return None
        content = types.MarkupContent(types.MarkupKind.Markdown, found.text)
        return types.Hover(contents=content, range=lsp_range(found.span))

    def completion(self, params: Any) -> Any:
        """What may stand at a cursor."""
        analysis, at = self._at(params)
        found = complete(analysis, at)
        place = lsp_range(Span(analysis.source, found.start, at))
        return [completion_item(item, place, number) for number, item in enumerate(found.items)]

    def hints(self, params: Any) -> Any:
        """What follows from the lines of a range."""
        analysis = self.workspace.analysis(path_of(params.text_document.uri))
        first, last = (offset(analysis.source, place) for place in (params.range.start, params.range.end))
        return [inlay_hint(hint, analysis.source) for hint in hints(analysis, first, last)]

    def tokens(self, params: Any) -> Any:
        """What names are, for colours."""
        analysis = self.workspace.analysis(path_of(params.text_document.uri))
        return types.SemanticTokens(data=encoded(semantic_tokens(analysis), analysis.source))

    def formatting(self, params: Any) -> Any:
        """The one layout of a file; none while it does not parse."""
        source = self.workspace.analysis(path_of(params.text_document.uri)).source
        text = format_source(source, Diagnostics())
        if text is None or text == source.text:
            return []
        return [types.TextEdit(lsp_range(Span(source, 0, len(source.text))), text)]

    def definition(self, params: Any) -> Any:
        """Where a name is made."""
        span = definition(*self._at(params))
        return None if span is None else self._location(span)

    def references(self, params: Any) -> Any:
        """Where a name is used."""
        found = references(self.workspace, *self._at(params))
        return [self._location(o.span) for o in found if params.context.include_declaration or not o.defines]

    def prepare_rename(self, params: Any) -> Any:
        """The name that would be changed."""
        try:
            return lsp_range(renamable(*self._at(params)))
        except NotRenamed:
            return None

    def rename(self, params: Any) -> Any:
        """The edits that give a name to something."""
        try:
            return workspace_edit(rename(self.workspace, *self._at(params), params.new_name), self.uris)
        except NotRenamed as error:
            raise JsonRpcInvalidParams(str(error)) from error

    def symbols(self, params: Any) -> Any:
        """The outline."""
        module = self.workspace.analysis(path_of(params.text_document.uri)).module
        return [] if module is None else [lsp_symbol(entry) for entry in outline(module.file)]

    def code_actions(self, params: Any) -> Any:
        """The repairs of what is wrong within a range."""
        analysis = self.workspace.analysis(path_of(params.text_document.uri))
        first, last = (offset(analysis.source, place) for place in (params.range.start, params.range.end))
        here = [d for d in analysis.diagnostics if d.span is not None and d.span.source.path == str(analysis.path)]
        met = [d for d in here if d.edits and d.span is not None and d.span.start <= last and first <= d.span.end]
        return [quick_fix(found, self.uris) for found in met]


def _log(error: Exception, source: Any) -> None:
    """Tell an error of the server on standard error: an editor keeps that, and goes on."""
    logging.getLogger(__name__).error("%s: %s", source.__name__, error)


def serve() -> None:
    """Answer an editor until it leaves."""
    Server().language_server.start_io()
