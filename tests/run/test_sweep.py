"""The sweep of the examples: a mixture, a trained tokenizer, early stopping and a figure, as a user runs them."""

from pathlib import Path

import pytest

from lmc.compiler.cli import main

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "sweep.lmspec"


@pytest.mark.slow
def test_the_sweep_runs_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["run", str(EXAMPLE), "--with", "quick", "--set", "base.steps = 20", "--device", "cpu"]) == 0
    said = capfd.readouterr().out
    assert "mixture of 2 parts" in said
    assert "lr1.0e-02" in said
    assert (tmp_path / "out" / "rates.svg").is_file()
    table = (tmp_path / "runs" / "sweep-quick.csv").read_text()
    assert main(["run", "build/sweep-quick", "lr1.0e-03", "--device", "cpu"]) == 0
    said = capfd.readouterr().out
    assert "1 run; 3 of 3 nodes done" in said
    assert "lr1.0e-02" not in said
    assert (tmp_path / "runs" / "sweep-quick.csv").read_text() == table


@pytest.mark.parametrize("path", sorted(EXAMPLE.parent.glob("*.lmspec")), ids=lambda path: path.stem)
def test_every_example_is_without_mistakes(path: Path) -> None:
    assert main(["check", str(path)]) == 0
