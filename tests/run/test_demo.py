"""The claim of the demo: a model whose values are always fresh learns to read the database, and follows it."""

import json
from pathlib import Path

import pytest

from lmc.compiler.cli import main

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_small_model_learns_to_call_and_reads_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    only_the_tool = ["--set", 'fine.data.mode = "tool"']
    assert main(["run", str(ROOT / "examples" / "memory.lmspec"), "fine", "--with", "quick", *only_the_tool]) == 0
    scores = [json.loads(path.read_text().splitlines()[-1])["metrics"] for path in tmp_path.glob("runs/*/scores.jsonl")]
    assert len(scores) == 1
    assert scores[0]["accuracy"] >= 0.9
    assert scores[0]["follows"] >= 0.9
    assert scores[0]["calls"] >= 0.9
    printed = capfd.readouterr().out
    assert "<|database|>" in printed
    assert "tool-n32-d64-s0" in printed
