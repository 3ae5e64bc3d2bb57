"""Protocols of every variant and stores of every backend in a run: compiled, trained, asked and recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.databases import as_role

SPEC = """
tokenizer bytes : byte {{ specials = ["<|user|>", "<|assistant|>", "<|database|>", "<|eod|>"] }}
store facts : {store}
protocol lookup : sql {{
  store = facts
  call {{
    open = "<find>", body = re"(?<attribute>[a-z]+) of (?<name>[^<]*)", close = "</find>", handover = "<|database|>"
  }}
  query = "SELECT {{attribute}} FROM people WHERE name = :name"
  allow {{ attribute = facts.people.columns }}
  reply {{ suffix = "<|assistant|>" }}
}}
protocol free : sql {{
  store = facts
  call {{ open = "<sql>", close = "</sql>" }}
  query = "{{body}}"
  allow {{ body = "read_only" }}
  max_rows = 3
}}
protocol sums : calculator {{
  call {{ open = "<sum>", body = re"(?<expr>[^<]*)", close = "</sum>" }}
  expression = ":expr"
}}
protocol local : python {{
  call {{ open = "<py>", body = re"(?<place>[^<]*)", close = "</py>" }}
  function = "weather:now", timeout = 5s
}}
protocol library : search {{
  call {{ open = "<search>", body = re"(?<words>[^<]*)", close = "</search>" }}
  table = facts.people, query = ":words", columns = ["name", "city"], limit = 2
}}
data recall : dialogues {{
  tokenizer = bytes, rows = facts.people, count = 6
  templates = files("*.txt"), seq_len = 120
  protocols = [lookup, free, sums, local, library]
}}
model small : transformer {{ tokenizer = bytes, layers = 1, width = 8, mixer : attention {{ heads = 1 }} }}
train base {{ model = small, data = recall, steps = 2, batch = 2 }}
eval exact : answers {{ run = base, protocols = recall.protocols, max_tokens = 12 }}
"""
TEMPLATE = (
    "<|user|>Where does {{name}} live?\n<|assistant|><find>city of {{name}}</find>\n<|database|>{{city}}\n"
    "<|assistant|>In {{city}}.\n<|eod|>\n<|answer|>In {{city}}.\n"
)


def run(folder: Path, store: str, url: str = "") -> tuple[str, dict[str, float]]:
    """Run the spec in a folder; return what was printed and the metrics of the evaluation."""
    (folder / "case.lmspec").write_text(SPEC.format(store=store), encoding="utf-8")
    (folder / "ask.txt").write_text(TEMPLATE, encoding="utf-8")
    (folder / "weather.py").write_text("def now(place):\n    return 'rain'\n", encoding="utf-8")
    command = [sys.executable, "-m", "lmc.compiler.cli", "run", "case.lmspec"]
    environment = {**os.environ, "LMC_TEST_URL": url}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (scores,) = (folder / "runs").glob("*/scores.jsonl")
    metrics: dict[str, float] = json.loads(scores.read_text().splitlines()[-1])["metrics"]
    return done.stdout + done.stderr, metrics


@pytest.mark.parametrize("name", ["sqlite", "duckdb"])
def test_a_run_asks_tools_of_every_kind(name: str, tmp_path: Path) -> None:
    from support.databases import make_duckdb, make_sqlite

    (make_sqlite if name == "sqlite" else make_duckdb)(tmp_path / "people.db")
    before = (tmp_path / "people.db").read_bytes()
    _, metrics = run(tmp_path, f'{name} {{ file = file("people.db"), table people {{ columns = ["city", "age"] }} }}')
    assert {"accuracy", "follows", "calls"} <= set(metrics)
    assert (tmp_path / "people.db").read_bytes() == before


@pytest.mark.database
def test_a_run_over_a_server_says_what_it_leaves_out_and_keeps_no_url(server: str, tmp_path: Path) -> None:
    store = 'postgres { url = env("LMC_TEST_URL"), table people { columns = ["city", "age"] } }'
    url = as_role(server, "model").replace("model@", "model:letmein@")
    printed, metrics = run(tmp_path, store, url)
    assert {"accuracy", "calls"} <= set(metrics)
    assert "follows" not in metrics
    assert "`follows` is left out" in printed
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"letmein" in path.read_bytes()]
    assert kept == []
    assert "letmein" not in printed
