"""`lmc lock` and runs that are held to what it wrote, through the command line."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main

SPEC = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
data more : text { source = files("more/*.txt"), tokenizer = bytes, seq_len = 16, document_end = "<|eod|>" }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train short { model = small, data = book, steps = 2, batch = 2 }
train other { model = small, data = more, steps = 2, batch = 2 }
overlay elsewhere : book { source = file("third.txt") }
"""
TALE = "a tale of two cities, told once more. " * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    for name in ("book.txt", "third.txt", "more/a.txt", "more/b.txt"):
        (tmp_path / name).write_text(f"{name}: {TALE}")
    (tmp_path / "case.lmspec").write_text(SPEC)
    return tmp_path


def said(capfd: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """What a command prints that ends with `code`."""
    capfd.readouterr()
    assert main(list(words)) == code
    found = capfd.readouterr()
    return found.out + found.err


def run(*words: str) -> list[str]:
    return ["run", "case.lmspec", *words, "--device", "cpu", "--jobs", "1"]


def line(path: Path) -> str:
    """The line of a file in a lock, by another implementation of the digest."""
    digest = subprocess.run(["sha256sum", path.name], cwd=path.parent, capture_output=True, text=True, check=True)
    return f"file sha256:{digest.stdout.split()[0]} "


def test_a_lock_lists_every_file_with_its_digest(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = said(capfd, 0, "lock", "case.lmspec")
    assert out == "case.lock: 3 inputs\n  + `book.txt`\n  + `more/a.txt`\n  + `more/b.txt`\n"
    names = ("book.txt", "more/a.txt", "more/b.txt")
    text = (folder / "case.lock").read_text()
    assert text == "".join(f"{told}\n" for told in ("lmc-lock 1", *(line(folder / n) + n for n in names)))
    assert said(capfd, 0, "lock", "case.lmspec") == "case.lock: 3 inputs, none changed\n"
    assert said(capfd, 0, "lock", "case.lmspec", "--check") == ""


def test_a_run_refuses_what_differs_before_it_writes_anything(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["lock", "case.lmspec"])
    (folder / "book.txt").write_text("other words. " * 100)
    told = said(capfd, 1, *run())
    now = hashlib.sha256((folder / "book.txt").read_bytes()).hexdigest()
    assert "error[LM0718]: `book.txt` is not what `case.lock` says" in told
    assert "case.lock:2:13" in told
    assert f"is now {now[:12]}" in told
    assert "lmc run --relock" in told
    assert not (folder / "runs").exists()
    assert said(capfd, 1, "lock", "case.lmspec", "--check").count(f"is now {now[:12]}") == 1
    assert said(capfd, 0, "plan", "case.lmspec").count(f"  ~ `book.txt`  {_locked(folder)} -> {now[:12]}\n") == 1


def _locked(folder: Path) -> str:
    return (folder / "case.lock").read_text().split("sha256:")[1][:12]


def test_only_what_a_run_reads_counts(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["lock", "case.lmspec"])
    (folder / "more" / "c.txt").write_text(TALE)
    assert main(run("short")) == 0
    told = said(capfd, 1, *run("other"))
    assert "`case.lock` does not list `more/c.txt`" in told
    assert "case.lmspec:4:6" in told


def test_relock_accepts_what_differs_and_runs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["lock", "case.lmspec"])
    before = (folder / "case.lock").read_text().splitlines()
    (folder / "book.txt").write_text("other words. " * 100)
    told = said(capfd, 0, *run("short", "--relock"))
    assert told.startswith("case.lock: 3 inputs\n  ~ `book.txt`  ")
    after = (folder / "case.lock").read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        line(folder / "book.txt") + "book.txt"
    ]
    assert "0 of 1 nodes done" not in said(capfd, 0, *run("short"))


def test_relock_makes_a_lock_of_what_is_run(folder: Path) -> None:
    assert main(run("short", "--relock")) == 0
    assert (folder / "case.lock").read_text().splitlines()[1:] == [line(folder / "book.txt") + "book.txt"]


def test_a_lock_keys_no_run_anew(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(run("short")) == 0
    kept = sorted(path.name for path in (folder / "runs").iterdir() if path.is_dir())
    main(["lock", "case.lmspec"])
    assert "1 of 1 nodes done" in said(capfd, 0, *run("short"))
    assert sorted(path.name for path in (folder / "runs").iterdir() if path.is_dir()) == kept


def test_a_worker_without_the_compiler_is_held_to_the_lock(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "case.lmspec"])
    main(["lock", "case.lmspec"])
    (folder / "book.txt").write_text("other words. " * 100)
    command = [sys.executable, "-m", "lmc.runtime", "build/case", "short", "--device", "cpu"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "LM0718" in found.stderr
    assert not (folder / "runs").exists()


def test_changes_of_the_command_line_add_to_a_lock(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["lock", "case.lmspec"])
    told = said(capfd, 1, *run("short", "--with", "elsewhere"))
    assert "`case.lock` does not list `third.txt`" in told
    assert said(capfd, 0, "lock", "case.lmspec", "--with", "elsewhere") == "case.lock: 4 inputs\n  + `third.txt`\n"
    assert said(capfd, 0, "lock", "case.lmspec", "--with", "elsewhere", "--check") == ""
    told = said(capfd, 1, "lock", "case.lmspec", "--check")
    assert "`third.txt` is not what `case.lock` says" in told
    assert "nothing reads it" in told
    assert said(capfd, 0, "lock", "case.lmspec") == "case.lock: 3 inputs\n  - `third.txt`\n"


def test_a_plan_says_the_drift_for_machines(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capfd, 0, "plan", "case.lmspec", "--format", "json"))["drift"] == []
    main(["lock", "case.lmspec"])
    (folder / "more" / "c.txt").write_text(TALE)
    found: list[Any] = json.loads(said(capfd, 0, "plan", "case.lmspec", "--format", "json"))["drift"]
    value = line(folder / "more" / "c.txt").split()[1]
    assert found == [{"input": {"kind": "file", "name": "more/c.txt"}, "locked": None, "found": value}]
    assert json.loads(said(capfd, 0, "plan", "case.lmspec", "short", "--format", "json"))["drift"] == []


def test_a_damaged_lock_is_told_and_replaced_only_by_lock(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["lock", "case.lmspec"])
    path = folder / "case.lock"
    whole = path.read_bytes()
    path.write_bytes(damaged := whole + b"=======\n")
    for command in (["run"], ["run", "--relock"], ["plan"], ["lock", "--check"], ["lock", "--with", "elsewhere"]):
        told = said(capfd, 1, command[0], "case.lmspec", *command[1:])
        assert "error[LM0702]: this is no line of a lock" in told
        assert "case.lock:5:1" in told
        assert path.read_bytes() == damaged
    path.write_bytes(b"lmc-lock 1\nfile \xff\n")
    assert "error[LM0702]" in said(capfd, 1, "plan", "case.lmspec")
    assert said(capfd, 0, "lock", "case.lmspec").startswith("case.lock: 3 inputs\n  + `book.txt`\n")
    assert path.read_bytes() == whole


def test_without_a_lock_there_is_nothing_to_check(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "error[LM0701]: there is no lock" in said(capfd, 1, "lock", "case.lmspec", "--check")
    (folder / "book.txt").unlink()
    assert "error[LM0701]: file" in said(capfd, 1, "lock", "case.lmspec")
    assert not (folder / "case.lock").exists()


def test_a_file_of_something_else_stays(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / "case.lock"
    path.write_text(other := 'version = 1\n[[package]]\nname = "torch"\n')
    assert main(["lock", str(folder / "case.lmspec")]) == 1
    assert "error[LM0702]" in capfd.readouterr().err
    assert path.read_text() == other
