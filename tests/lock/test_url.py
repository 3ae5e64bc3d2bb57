"""Addresses of a server on this machine: their digests are locked, and asked for once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.web import served_folder

from lmc.compiler.cli import main

TALE = b"a tale of two cities, told once more. " * 40
SPEC = """
tokenizer bytes : byte {{}}
data book : text {{ source : url {{ at = "{at}/book.txt", sha256 = "{sha256}" }}, tokenizer = bytes, seq_len = 16 }}
model small : transformer {{ tokenizer = bytes, layers = 1, width = 8, mixer : attention {{ heads = 2 }} }}
train base {{ model = small, data = book, steps = 1, batch = 2 }}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "book.txt").write_bytes(TALE)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of the folder, and the paths that it was asked for."""
    with served_folder(folder / "served") as found:
        yield found


def write(folder: Path, at: str, content: bytes) -> str:
    """Write the spec that means this content; return its digest."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / "case.lmspec").write_text(SPEC.format(at=at, sha256=digest))
    return digest


def test_an_address_is_fetched_once_and_known_by_its_digest(
    folder: Path, served: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    at, asked = served
    digest = write(folder, at, TALE)
    assert main(["lock", "case.lmspec"]) == 0
    assert capfd.readouterr().out == f"case.lock: 1 input\n  + url `{at}/book.txt`\n"
    assert (folder / "case.lock").read_text() == f"lmc-lock 1\nurl sha256:{digest} {at}/book.txt\n"
    assert len(asked) == 1
    assert main(["lock", "case.lmspec"]) == 0
    assert main(["lock", "case.lmspec", "--check"]) == 0
    assert main(["run", "case.lmspec", "--device", "cpu", "--jobs", "1"]) == 0
    assert len(asked) == 1


def test_another_digest_in_the_spec_is_refused_until_it_is_accepted(
    folder: Path, served: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    at, asked = served
    old = write(folder, at, TALE)
    assert main(["lock", "case.lmspec"]) == 0
    (folder / "served" / "book.txt").write_bytes(TALE * 2)
    new = write(folder, at, TALE * 2)
    asked.clear()
    capfd.readouterr()
    assert main(["run", "case.lmspec"]) == 1
    told = capfd.readouterr().err
    assert f"error[LM0718]: url `{at}/book.txt` is not what `case.lock` says" in told
    assert f"is now {new[:12]}" in told
    assert asked == []
    assert main(["lock", "case.lmspec"]) == 0
    assert f"  ~ url `{at}/book.txt`  {old[:12]} -> {new[:12]}\n" in capfd.readouterr().out
    assert len(asked) == 1


def test_an_address_that_gives_other_bytes_is_not_locked(
    folder: Path, served: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder, served[0], b"what the spec means")
    assert main(["lock", "case.lmspec"]) == 1
    assert "error[LM0702]" in capfd.readouterr().err
    assert not (folder / "case.lock").exists()
