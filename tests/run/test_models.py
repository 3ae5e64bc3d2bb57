"""Evaluations of models that no training is behind: drawn weights, and weights that trainings start from."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.placement import Placement
from lmc.spec.model import Transformer

SPEC = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16, split { train = 0.5, valid = 0.5 } }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 2, batch = 2 }
eval fresh : loss { run = small, data = book }
eval said : generate { run = small, prompt = "the", max_tokens = 3 }
eval val : loss { run = base }
"""
TEXT = "a tale of two cities, and of what lay between them" * 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "case.lmspec").write_text(SPEC, encoding="utf-8")
    return tmp_path


def test_a_model_is_evaluated_as_trainings_of_it_start(folder: Path, cpu: Placement) -> None:
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    with open(folder / "runs" / "case.csv", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"base", "small"}
    plan = compile_spec(folder / "case.lmspec").plan
    assert plan is not None
    spec = next(node.spec for node in plan.nodes.values() if isinstance(node.spec, Transformer))
    model = build_model(spec, cpu, 0).eval()
    text = torch.tensor(list(TEXT[len(TEXT) // 2 :].encode()))
    nats = []
    for start in range(0, len(text) - 16, 16):  # sequences of 16 trained positions; what is left over is not read
        piece = text[start : start + 17]
        with torch.no_grad():
            logits = model(piece[:-1].reshape(1, -1), SequenceLayout.rows([16]))
        nats.append(functional.cross_entropy(logits.reshape(16, -1), piece[1:]).item())
    assert float(rows["small"]["fresh.loss"]) == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    assert float(rows["small"]["fresh.loss"]) > math.log(257) - 1
    assert 1 <= float(rows["small"]["said.tokens"]) <= 3
    assert rows["base"]["fresh.loss"] == ""


def test_it_runs_by_name_without_any_training_and_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "case.lmspec", "fresh", "--device", "cpu"]) == 0
    assert "case: 0 runs; 0 of 1 nodes done" in capfd.readouterr().out
    assert not list(folder.glob("runs/*/records.jsonl"))
    (scores,) = folder.glob("runs/*/scores.jsonl")
    assert json.loads(scores.read_text("utf-8"))["step"] == 0
    assert main(["plan", "case.lmspec"]) == 0
    assert "beside: 2 evals, 1 done" in capfd.readouterr().out
    assert main(["run", "case.lmspec", "fresh", "--device", "cpu"]) == 0
    assert "case: 0 runs; 1 of 1 nodes done" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("eval e : loss { run = small }", "LM0209", "an evaluation of a model says which data are meant"),
        ('eval e : loss { run = small, data = book, checkpoint = "best" }', "LM0408", "a model is not trained"),
        ("eval e : generate { run = small, every = 3 }", "LM0408", "a model is not trained"),
        ("eval e : answers { run = small, data = book }", "LM0310", "`answers` asks the questions of dialogues"),
        ("data d : book { tokenizer : byte {} }\neval e : loss { run = small, data = d }", "LM0406", "different tok"),
        ('eval e : generate { run = small, prompt = "<|x|>" }', "LM0609", "`<|x|>` is no special token"),
        ("eval e : loss { run = book }", "LM0310", "`run` needs a train or model, got the data `book`"),
        ("plot p : line { from = base, x = step, y = fresh.loss }", "LM0506", "`fresh` evaluates none of the runs"),
    ],
)
def test_what_a_model_cannot_be_asked_is_told(line: str, code: str, message: str, folder: Path) -> None:
    (folder / "case.lmspec").write_text(SPEC + line, encoding="utf-8")
    (found,) = compile_spec(folder / "case.lmspec").diagnostics.items
    assert found.code == code
    assert message in found.message
