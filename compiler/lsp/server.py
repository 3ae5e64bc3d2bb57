"""The language server over standard input and output. Each feature is a line to the module that knows the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from ...spec.diagnostic import Diagnostic
from ...spec.span import Span
from .convert import (
    lsp_diagnostic,
    lsp_range,
    lsp_symbol,
    offset,
    path_of,
    quick_fix,
    uri_of,
    workspace_edit,
)
from .publish import Publisher
from .references import NotRenamed, definition, references, renamable, rename
from .symbols import outline
from .workspace import Analysis, Workspace


class Server:
    """The open files of one editor, and its questions about them."""

    def __init__(self) -> None:
        self.language_server = LanguageServer(
            "lmc", version("lmc"), text_document_sync_kind=types.TextDocumentSyncKind.Full
        )
        self.language_server.report_server_error = _log
        self.workspace = Workspace()
        self.uris: dict[Path, str] = {}
        self.publisher = Publisher(self.workspace, self._send)
        self._register()

    def _send(self, path: Path, found: Sequence[Diagnostic]) -> None:
        diagnostics = [lsp_diagnostic(diagnostic, self.uris) for diagnostic in found]
        params = types.PublishDiagnosticsParams(uri_of(path, self.uris), diagnostics)
        self.language_server.text_document_publish_diagnostics(params)

    def _register(self) -> None:
        self._answer(types.INITIALIZED, self.initialized)
        self._answer(types.TEXT_DOCUMENT_DID_OPEN, self.changed)
        self._answer(types.TEXT_DOCUMENT_DID_CHANGE, self.changed)
        self._answer(types.TEXT_DOCUMENT_DID_CLOSE, self.closed)
        self._answer(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, lambda _: self.publisher.changed())
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
