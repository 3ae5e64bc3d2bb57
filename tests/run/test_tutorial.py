"""The tutorial: its mistake is told as it says, and its last file runs, small."""

import re
from pathlib import Path

import pytest

from lmc.compiler.cli import main

PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```lmspec\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
BOOK = "The quick brown fox jumps over the lazy dog. The dog was not amused, and said so at some length.\n" * 120


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "book.txt").write_text(BOOK, encoding="utf-8")
    return tmp_path


def test_its_mistake_is_told_as_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[1].replace("heads = 2", "heads = 5"), encoding="utf-8")
    assert main(["check", "first.lmspec"]) == 1
    assert f"```\n{capsys.readouterr().err}```\n" in TEXT


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_step_is_checked_without_a_word(number: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[number], encoding="utf-8")
    assert main(["check", "first.lmspec"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_the_training_of_step_three_runs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[2], encoding="utf-8")
    small = ["--set", "base.steps = 6", "--set", "base.batch = 2", "--set", "base.every.eval = 3"]
    assert main(["run", "first.lmspec", *small, "--set", "speech.max_tokens = 8", "--device", "cpu"]) == 0
    assert (folder / "out" / "curve.svg").is_file()
    capfd.readouterr()
    assert main(["generate", "base", "--prompt", "The ", "--max-tokens", "4", "--device", "cpu"]) == 0
    assert capfd.readouterr().out
    assert main(["why", "first.lmspec", "base.model.mlp.hidden"]) == 0
    assert "= 256" in capfd.readouterr().out


def test_steps_that_are_set_are_those_of_one_world(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[4], encoding="utf-8")
    for settings, steps in ((["base.steps=20"], 400), (["base.steps=20", "wide.steps=20"], 20)):
        said = [part for setting in settings for part in ("--set", setting)]
        assert main(["why", "first.lmspec", "wide.steps", *said]) == 0
        assert capsys.readouterr().out.startswith(f"wide.steps = {steps}\n")


@pytest.mark.slow
def test_runs_of_one_name_are_told_apart_by_what_status_shows(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[3], encoding="utf-8")
    for steps in (2, 3):
        setting = f"base.steps = {steps}"
        assert main(["run", "first.lmspec", "--with", "quick", "--set", setting, "--device", "cpu"]) == 0
    capfd.readouterr()
    assert main(["generate", "base", "--prompt", "The ", "--device", "cpu"]) == 1
    assert "LM0809" in capfd.readouterr().err
    assert main(["status"]) == 0
    ids = re.findall(r"^ +base +(\w{16}) ", capfd.readouterr().out, re.MULTILINE)
    assert len(set(ids)) == 2
    for shown in ids:
        assert main(["generate", shown[:6], "--prompt", "The ", "--max-tokens", "2", "--device", "cpu"]) == 0


@pytest.mark.slow
def test_the_last_file_runs_its_grid_and_draws(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[-1], encoding="utf-8")
    small = ["--set", "base.steps = 4", "--set", "base.batch = 2", "--set", "held_out.examples = 2"]
    assert main(["run", "first.lmspec", "--with", "quick", *small, "--device", "cpu"]) == 0
    names = {f"d{width}-lr{rate}-s{seed}" for width in (32, 64) for rate in ("1.0e-03", "1.0e-02") for seed in (0, 1)}
    said = capfd.readouterr().out
    assert all(name in said for name in names)
    assert {path.name for path in (folder / "out").glob("*.svg")} == {"best.svg", "rates.svg"}


def test_counts_of_the_text_are_those_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "first.lmspec").write_text(BLOCKS[-1], encoding="utf-8")
    assert main(["compile", "first.lmspec"]) == 0
    assert "18 runs" in capsys.readouterr().out
    assert main(["compile", "first.lmspec", "--with", "quick"]) == 0
    assert "8 runs" in capsys.readouterr().out
    assert "trains eight short runs" in TEXT
    assert "trains eighteen" in re.sub(r"\s+", " ", TEXT)
