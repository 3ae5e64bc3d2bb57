"""The index of a store follows from its folders: missing, damaged, old, overtaken or torn, it says what they say."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmc.runtime.store.index import INDEX, connected, put
from lmc.runtime.store.made import Made
from lmc.runtime.store.run_store import RunStore
from lmc.spec.identity import identity
from lmc.spec.plan import Node
from lmc.spec.tokenizer import ByteTokenizer

MADE = Made({"file": "../a.lmspec", "with": [], "set": []}, "fine", {"book.txt": "00"})


def node(number: int) -> Node:
    spec = ByteTokenizer(specials=(f"<|{number}|>",))
    return Node(identity(spec), spec, "bytes")


def filled(path: Path, count: int = 5) -> RunStore:
    store = RunStore(path)
    store.create()
    for number in range(count):
        folder = store.open_node(node(number), "abc", f"n{number}", MADE)
        folder.create()
        if number % 2:
            folder.finish({"x": number})
    return store


def told(store: RunStore) -> dict[str, tuple[str, str]]:
    """What the folders themselves say."""
    files = {path.parent.name: json.loads(path.read_text()) for path in store.path.glob("*/node.json")}
    return {folder: (data["status"], data["name"]) for folder, data in files.items()}


def indexed(store: RunStore) -> dict[str, tuple[str, str]]:
    return {folder: (entry.status, entry.name) for folder, entry in store.entries().items()}


def test_a_line_tells_where_a_node_was_asked_for(tmp_path: Path) -> None:
    entry = next(iter(filled(tmp_path / "runs", 1).entries().values()))
    assert (json.loads(entry.source), entry.block, entry.kind) == (MADE.source, "fine", "tokenizer")
    assert entry.id == node(0).id


@pytest.mark.parametrize("harm", ["gone", "torn", "no database", "old"])
def test_an_index_is_made_again(harm: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    before, index = store.entries(), store.path / INDEX
    if harm == "gone":
        index.unlink()
    elif harm == "torn":
        index.write_bytes(index.read_bytes()[:60])
    elif harm == "no database":
        index.write_text("hello, here is no database at all, and never was one" * 100)
    else:
        index.unlink()
        with sqlite3.connect(index) as old:
            old.execute("CREATE TABLE nodes (folder TEXT PRIMARY KEY, status TEXT, name TEXT, kind TEXT, summary TEXT)")
    assert store.entries() == before
    assert indexed(store) == told(store)


def test_folders_that_come_and_go_are_seen(tmp_path: Path) -> None:
    store, other = filled(tmp_path / "runs"), filled(tmp_path / "other", 7)
    shutil.rmtree(store.path / f"{node(1).id}-abc")
    shutil.copytree(other.path / f"{node(6).id}-abc", store.path / f"{node(6).id}-abc")
    (store.path / "half-made").mkdir()
    (store.path / "sweep-quick.csv").write_text("a table, not a folder")
    assert indexed(store) == told(store)
    assert len(indexed(store)) == 5


def test_a_line_that_its_folder_has_overtaken_is_not_believed(tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    before = store.entries()
    folder = store.open_node(node(0), "abc", "n0", MADE)
    folder.finish({"x": 0})
    with connected(store.path) as index, index:
        put(index, [before[folder.path.name]])
    assert store.statuses([(node(0).id, "abc")]) == {node(0).id: "done"}


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "runs")
    before = store.entries()

    def refuse(*arguments: object, **named: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert store.entries() == before
    assert RunStore(tmp_path / "none").entries() == {}
    assert not (tmp_path / "none").exists()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_index import MADE, RunStore, node
store = RunStore(Path({path!r}))
for number in range({first}, {first} + 40):
    folder = store.open_node(node(number), "abc", f"n{{number}}", MADE)
    folder.create()
    folder.finish({{"x": number}})
    print(number, flush=True)
"""


def test_writers_that_are_killed_leave_an_index_that_follows_the_folders(tmp_path: Path) -> None:
    store = filled(tmp_path / "runs", 0)
    here = os.path.dirname(__file__)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER.format(here=here, path=str(store.path), first=1000 * number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline()
    time.sleep(0.01)
    for writer in writers[:2]:
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.communicate()
    assert writers[2].returncode == 0
    assert indexed(store) == told(store)
    assert sum(folder.startswith(tuple(node(n).id for n in range(2000, 2040))) for folder in indexed(store)) == 40
