"""A hub on this machine: repositories with a history, served as huggingface_hub asks for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from attrs import Factory, define

from .web import served


@define
class Hub:
    """Repositories by name, such as `models/a/b`: the folder of each commit, and the commit of each branch or tag.

    Attributes:
        asked: the paths of requests. shown: what they said who asks.
    """

    url: str = ""
    folders: dict[str, dict[str, Path]] = Factory(dict)
    branches: dict[str, dict[str, str]] = Factory(dict)
    asked: list[str] = Factory(list)
    shown: set[str | None] = Factory(set)

    def commit(self, repo: str, folder: Path, branch: str = "main") -> str:
        """Add what a folder holds as the newest commit of a branch, and return that."""
        known = self.folders.setdefault(repo, {})
        made = hashlib.sha1(f"{repo} {len(known)}".encode()).hexdigest()
        known[made] = folder
        self.branches.setdefault(repo, {})[branch] = made
        return made

    def found(self, repo: str, revision: str) -> str | None:
        """The commit of a branch, or the commit itself; None for one that is not there."""
        known = self.branches.get(repo, {}).get(revision, revision)
        return known if known in self.folders.get(repo, {}) else None


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.hub.asked.append(self.path)
        self.hub.shown.add(self.headers.get("Authorization"))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            kind, owner, name, _, revision = (*parts[1:], "revision", "main")[:5]
            commit = self.hub.found(f"{kind}/{owner}/{name}", revision)
            answer = {"id": f"{owner}/{name}", "sha": commit, "siblings": [], "private": False, "tags": []}
            self._send(commit, json.dumps(answer).encode(), body, {"Content-Type": "application/json"})
            return
        owner, name, _, revision, *rest = parts
        repo = f"models/{owner}/{name}"
        commit = self.hub.found(repo, revision)
        path = self.hub.folders[repo][commit].joinpath(*rest) if commit else None
        if path is None or not path.is_file():
            self._send(None, b"", body, {"X-Error-Code": "EntryNotFound" if commit else "RevisionNotFound"})
            return
        content = path.read_bytes()
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self._send(commit, content, body, {"ETag": etag, "X-Repo-Commit": str(commit)})

    def _send(self, commit: str | None, content: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(200 if commit else 404)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub that is empty at first."""
    hub = Hub()
    with served(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        yield hub
