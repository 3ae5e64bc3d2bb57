"""A client that speaks to `lmc lsp` over its pipes, as an editor does; nothing of it is shared with the server."""

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class Client:
    """A server process; requests wait for their answer, notifications are kept by method."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "lmc.compiler.cli", "lsp", "--stdio"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=root)
        self.root, self.number, self.opened = root, 0, list[str]()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        params = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}}
        self.capabilities = self.request("initialize", params)["capabilities"]
        self.notify("initialized", {})

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            size = 0
            while header.strip():
                name, _, value = header.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
                header = stream.readline()
            message = json.loads(stream.read(size))
            (self.answers if "id" in message and "method" not in message else self.said).put(message)

    def raw(self, body: bytes) -> None:
        """Send a body as it is, with its length."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def send(self, message: dict[str, Any]) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        """Return the whole answer to a request, an error or a result."""
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.answers.get(timeout=20)
            if message["id"] == self.number:
                return message

    def request(self, method: str, params: Any) -> Any:
        message = self.answer(method, params)
        assert "error" not in message, message
        return message["result"]

    def ask(self, method: str, name: str, line: int, character: int, **more: Any) -> Any:
        """Ask about a place in a file."""
        where = {"textDocument": {"uri": self.uri(name)}, "position": {"line": line, "character": character}}
        return self.request(f"textDocument/{method}", {**where, **more})

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def open(self, name: str, text: str) -> None:
        document = {"uri": self.uri(name), "languageId": "lmspec", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})
        self.opened.append(document["uri"])

    def close_file(self, uri: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        self.opened.remove(uri)

    def change(self, name: str, text: str, version: int = 2) -> None:
        document = {"uri": self.uri(name), "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})

    def diagnostics(self, name: str) -> list[dict[str, Any]]:
        """Return what is said next about a file."""
        while True:
            message = self.said.get(timeout=20)
            if message["method"] == "textDocument/publishDiagnostics" and message["params"]["uri"] == self.uri(name):
                found: list[dict[str, Any]] = message["params"]["diagnostics"]
                return found

    def close(self) -> int:
        """Leave as an editor does; return the exit code."""
        if self.process.poll() is None:
            self.request("shutdown", None)
            self.notify("exit", None)
        code = self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return code
