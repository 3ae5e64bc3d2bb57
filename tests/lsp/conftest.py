"""Servers for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lsp import Client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose editor has an empty folder open."""
    pytest.importorskip("pygls", reason="the extra `lsp` is not installed")
    client = Client(tmp_path_factory.mktemp("folder"))
    yield client
    assert client.close() == 0


@pytest.fixture
def client(server: Client, tmp_path: Path) -> Iterator[Client]:
    """The server, with files in a folder of the test's own; what it opened is closed behind it."""
    server.root = tmp_path
    yield server
    for uri in list(server.opened):
        server.close_file(uri)
    assert server.process.poll() is None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Client]:
    """A server of its own, whose editor has the test's folder open."""
    pytest.importorskip("pygls", reason="the extra `lsp` is not installed")
    client = Client(tmp_path)
    yield client
    assert client.close() == 0
