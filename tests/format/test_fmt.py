"""`lmc fmt`: what it writes, what it leaves alone, and what it says."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.format import format as format_module

ROOT = Path(__file__).parent.parent.parent
UGLY, NEAT = "a=1\nbc = 2 #c\n", "a  = 1\nbc = 2  #c\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("a.lmspec")
    path.write_text(UGLY, encoding="utf-8")
    return path


def test_the_examples_of_the_repository_are_formatted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["fmt", "--check", "examples", "compiler/templates"]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_is_written_once_and_keeps_its_mode(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.chmod(0o640)
    assert main(["fmt", "a.lmspec"]) == 0
    assert spec.read_text("utf-8") == NEAT
    assert stat.S_IMODE(spec.stat().st_mode) == 0o640
    assert capsys.readouterr().out == "a.lmspec\n"
    before = spec.stat()
    assert main(["fmt", "a.lmspec"]) == 0
    assert capsys.readouterr().out == ""
    assert (spec.stat().st_ino, spec.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert os.listdir() == ["a.lmspec"]


def test_check_and_diff_write_nothing(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--check", "a.lmspec"]) == 1
    assert capsys.readouterr().out == "a.lmspec\n"
    assert main(["fmt", "a.lmspec", "--diff"]) == 0
    shown = capsys.readouterr().out
    assert shown == "--- a.lmspec\n+++ a.lmspec\n@@ -1,2 +1,2 @@\n-a=1\n-bc = 2 #c\n+a  = 1\n+bc = 2  #c\n"
    assert main(["fmt", "--check", "--diff", "a.lmspec"]) == 1
    assert capsys.readouterr().out == shown
    assert spec.read_text("utf-8") == UGLY


def test_a_diff_can_be_applied(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_bytes("# \u2028 é\x0c\r\n\n\n\na=[\n1 # b\n]\r\nb=2".encode())
    assert main(["fmt", "--diff", "a.lmspec"]) == 0
    patch = capsys.readouterr().out.encode()
    subprocess.run(["patch", "--binary", "-s", "a.lmspec"], input=patch, check=True)
    by_hand = spec.read_bytes()
    assert main(["fmt", "a.lmspec"]) == 0
    assert spec.read_bytes() == by_hand
    assert capsys.readouterr().out == ""


def test_byte_order_marks_and_foreign_line_ends_go(spec: Path) -> None:
    spec.write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    assert main(["fmt", "--check", "a.lmspec"]) == 1
    assert main(["fmt", "a.lmspec"]) == 0
    assert spec.read_bytes() == b"a = 1\n"


def test_folders_are_searched_and_hidden_ones_are_not(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b/c/d.lmspec", "b/a.lmspec", ".hidden/e.lmspec", "b/other.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(UGLY, encoding="utf-8")
    Path("b/loop").symlink_to(Path.cwd())
    assert main(["fmt", "--check"]) == 1
    assert capsys.readouterr().out.split() == ["a.lmspec", "b/a.lmspec", "b/c/d.lmspec"]
    assert main(["fmt", "b", "b/a.lmspec"]) == 0
    assert capsys.readouterr().out.split() == ["b/a.lmspec", "b/c/d.lmspec"]


def test_a_link_stays_a_link(spec: Path) -> None:
    Path("link.lmspec").symlink_to(spec)
    assert main(["fmt", "link.lmspec"]) == 0
    assert Path("link.lmspec").is_symlink()
    assert spec.read_text("utf-8") == NEAT


def test_mistakes_are_told_and_other_files_go_on(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.lmspec").write_text("a=1\nb = \n", encoding="utf-8")
    Path("worse.lmspec").write_bytes(b"a = \xff\n")
    assert main(["fmt", "absent.lmspec", "bad.lmspec", "worse.lmspec", "a.lmspec"]) == 1
    out, err = capsys.readouterr()
    assert out == "a.lmspec\n"
    assert [line.split(":")[0] for line in err.splitlines() if line.startswith("error")] == [
        "error[LM0701]",
        "error[LM0101]",
        "error[LM0106]",
    ]
    assert spec.read_text("utf-8") == NEAT
    assert Path("bad.lmspec").read_text("utf-8") == "a=1\nb = \n"


def test_what_a_bug_would_change_is_left_as_it_is(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("b.lmspec").write_text("d=3\n", encoding="utf-8")
    write = format_module.write_layout
    monkeypatch.setattr(format_module, "write_layout", lambda layout: write(layout).replace("= 1", "= 2"))
    assert main(["fmt", "a.lmspec", "b.lmspec"]) == 1
    out, err = capsys.readouterr()
    assert err == "lmc fmt: a.lmspec is left as it is: it would mean something else; please report the file\n"
    assert out == "b.lmspec\n"
    assert spec.read_text("utf-8") == UGLY


def test_a_file_is_whole_where_it_cannot_be_written(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["fmt", "a.lmspec"]) == 1
    assert capsys.readouterr().err == "lmc fmt: a.lmspec cannot be written: No space left on device\n"
    assert spec.read_text("utf-8") == UGLY
    assert os.listdir() == ["a.lmspec"]


def piped(*options: str, text: bytes) -> tuple[int, bytes]:
    command = [sys.executable, "-m", "lmc.compiler.cli", "fmt", *options]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout


def test_standard_input_is_formatted_to_standard_output() -> None:
    assert piped("-", text=UGLY.encode()) == (0, NEAT.encode())
    assert piped("-", "--check", text=UGLY.encode()) == (1, b"<stdin>\n")
    assert piped("-", text=b"a = \n") == (1, b"")
    assert piped("-", "a.lmspec", text=b"") == (2, b"")
