"""The run store: nothing half-written looks whole, one writer at a time, faults told."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmc.runtime.store.digest import NO_INPUTS, inputs_digest
from lmc.runtime.store.files import append_line, read_lines, write_whole
from lmc.runtime.store.index import Entry, connected, put
from lmc.runtime.store.run_store import RunStore
from lmc.spec.diagnostic import Diagnostic, LmcError
from lmc.spec.identity import identity
from lmc.spec.plan import Node
from lmc.spec.tokenizer import ByteTokenizer

SPEC = ByteTokenizer(specials=("<|x|>",))
NODE = Node(identity(SPEC), SPEC, "bytes")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "runs")
    store.create()
    return store


def test_a_node_goes_from_new_to_done_and_is_found_in_the_index(store: RunStore) -> None:
    folder = store.open_node(NODE, "abc", "a name")
    assert folder.status == "new"
    assert store.statuses([(NODE.id, "abc")]) == {}
    folder.create()
    assert store.open_node(NODE, "abc").status == "partial"
    folder.finish({"x": 1})
    again = store.open_node(NODE, "abc")
    assert (again.status, again.summary) == ("done", {"x": 1})
    assert store.statuses([(NODE.id, "abc"), ("other", "abc")]) == {NODE.id: "done"}
    assert store.open_node(NODE, "other inputs").status == "new"


def test_failures_are_kept_with_their_time(store: RunStore) -> None:
    folder = store.open_node(NODE, "abc")
    folder.create()
    before = time.time()
    folder.fail(Diagnostic("LM0901", "no", None))
    again = store.open_node(NODE, "abc")
    assert again.status == "failed"
    assert again.failed_since(before)
    assert not again.failed_since(time.time() + 1)


def test_one_writer_at_a_time(store: RunStore) -> None:
    folder = store.open_node(NODE, "abc")
    folder.create()
    program = (
        "import sys\nfrom pathlib import Path\nimport fcntl\n"
        f"file = open({str(folder.path / '.lock')!r}, 'a+')\n"
        "try:\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept BlockingIOError:\n    sys.exit(9)\n"
    )
    with folder.try_lock() as held:
        assert held
        assert subprocess.run([sys.executable, "-c", program]).returncode == 9
        assert "process" in folder.holder()
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    write_whole(path, "0" * 200_000)
    program = (
        "from pathlib import Path\nfrom lmc.runtime.store.files import write_whole\n"
        f"n = 0\nwhile True:\n    n = (n + 1) % 10\n    write_whole(Path({str(path)!r}), str(n) * 200_000)\n"
    )
    for moment in (0.0, 0.003, 0.007, 0.011, 0.02):
        process = subprocess.Popen([sys.executable, "-c", program])
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:
            time.sleep(0.001)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        text = path.read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ', encoding="utf-8")
    assert [r["a"] for r in read_lines(path)] == [1, 2]
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_a_torn_line_hides_nothing_that_is_appended_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for torn in ("", '{"a": ', '{"a": "' + "x" * 9000):
        path.write_text('{"a": 1}\n' + torn, encoding="utf-8")
        append_line(path, {"a": 2})
        append_line(path, {"a": 3})
        assert [r["a"] for r in read_lines(path)] == [1, 2, 3]
    path.write_text('{"a": ', encoding="utf-8")
    append_line(path, {"a": 2})
    assert list(read_lines(path)) == [{"a": 2}]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["node.json"]
    assert path.read_text() == "old"


def test_a_damaged_node_is_told(store: RunStore) -> None:
    folder = store.open_node(NODE, "abc")
    folder.create()
    (folder.path / "node.json").write_text("{", encoding="utf-8")
    with pytest.raises(LmcError, match="damaged") as caught:
        store.open_node(NODE, "abc")
    assert caught.value.diagnostic.code == "LM0702"


def test_digests_follow_bytes_and_ancestors(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("a")
    two.write_text("a")
    assert inputs_digest([], []) == NO_INPUTS == inputs_digest([], [NO_INPUTS])
    assert inputs_digest([one], []) == inputs_digest([two], [])
    two.write_text("bb")
    assert inputs_digest([one], []) != inputs_digest([two], [])
    assert inputs_digest([], [inputs_digest([one], [])]) != NO_INPUTS


def test_thousands_of_nodes_are_looked_up_at_once(store: RunStore) -> None:
    rows = [Entry(f"node{i}-abc", "done", f"n{i}", "train", "{}", "{}", "", 0.0) for i in range(7800)]
    for row in rows:
        (store.path / row.folder).mkdir()
    with connected(store.path) as index, index:
        put(index, rows)
    began = time.process_time()
    found = store.statuses([(f"node{i}", "abc") for i in range(7800)])
    assert len(found) == 7800
    assert time.process_time() - began < 0.5
