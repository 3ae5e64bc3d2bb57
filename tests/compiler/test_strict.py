"""`--strict`: what would be a warning ends a command as an error does, and nothing else changes."""

import json
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.diagnostics.codes import CODES

CLEAN = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 2, batch = 2 }
grid widths { base = base, over { model.width = [8, 16] } }
"""
COLLAPSED = ("--set", "base.model.width = 8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("a tale of two cities. " * 50)
    (tmp_path / "case.lmspec").write_text(CLEAN)
    return tmp_path


@pytest.mark.parametrize("command", ["check", "compile", "plan", "run"])
def test_a_warning_ends_a_command(command: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([command, "case.lmspec", *COLLAPSED, "--strict"]) == 1
    found = capfd.readouterr()
    assert "error[LM0510]" in found.err
    assert found.out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["book.txt", "case.lmspec"]


@pytest.mark.parametrize("command", ["check", "compile", "plan"])
def test_without_warnings_or_without_strict_nothing_changes(
    command: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "case.lmspec", *COLLAPSED]) == 0
    loose = capfd.readouterr()
    assert "warning[LM0510]" in loose.err
    assert main([command, "case.lmspec", "--strict"]) == 0
    assert capfd.readouterr().err == ""


def test_a_plan_folder_is_strictly_what_its_sources_say(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "case.lmspec", *COLLAPSED]) == 0
    assert main(["plan", "build/case"]) == 0
    assert main(["plan", "build/case", "--strict"]) == 1
    assert "error[LM0510]" in capfd.readouterr().err


@pytest.mark.parametrize("code", ["LM0215", "LM0511"])
def test_every_warning_of_a_file_is_an_error_and_hints_are_not(
    code: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for of, strict in ((code, 1), ("LM0213", 0)):
        examples = CODES[of].examples()
        assert examples is not None
        (folder / "case.lmspec").write_text(examples[0])
        assert main(["check", "case.lmspec"]) == 0
        capfd.readouterr()
        assert main(["check", "case.lmspec", "--strict", "--format", "json"]) == strict
        severities = {found["code"]: found["severity"] for found in json.loads(capfd.readouterr().out)}
        assert severities[of] == ("error" if strict else "hint")
