"""Two tools in one dialogue, from a spec to answers: tools write the data, a model learns to call them, they answer."""

import json
import re
import time
from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.components.sources import DialoguesNode
from lmc.runtime.components.tools import AutomatonNode
from lmc.runtime.components.trainer import TrainerNode
from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.requests import Request
from lmc.runtime.graph import Walk, wire
from lmc.runtime.inputs import InputDigests
from lmc.runtime.placement import default_placement
from lmc.runtime.session import Session
from lmc.runtime.store.plan_files import read_plan
from lmc.runtime.store.run_store import RunStore
from lmc.spec.plan import Plan, closure

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "tools.lmspec"
SPEC = """
tokenizer words : bpe {
  size     = 400
  source   = file("words.txt")
  specials = ["<|user|>", "<|assistant|>", "<|database|>", "<|eod|>"]
}
store facts : sqlite {
  file = file("people.db")
  table people : people { columns = ["birth_year"], first_names = file("first.txt"), last_names = file("last.txt") }
}
protocol lookup : sql {
  store = facts
  call { open = "<year>", body = re"(?<name>[A-Za-z]+ [A-Za-z]+)", close = "</year>", handover = "<|database|>" }
  query = "SELECT birth_year FROM people WHERE name = :name"
  reply { suffix = "<|assistant|>" }
  constrain = "inside"
}
protocol calculator : calculator {
  call { open = "<calc>", body = re"[0-9]+[-+][0-9]+", close = "</calc>" }
  expression = ":body"
  reply { prefix = "=" }
}
data ages : dialogues {
  tokenizer = words
  rows      = facts.people
  count     = 100
  templates = files("age*.txt")
  protocols = [lookup, calculator]
  replies   = "tools"
  seq_len   = 64
}
model small : transformer {
  tokenizer = words, layers = 2, width = 48
  mixer : attention { heads = 2 }
  positions : rope { unit = "turns" }
}
train ask {
  model = small, data = ages, steps = 500, batch = 32
  optim    : adamw { lr = 4e-3, weight_decay = 0.1, decay = "all" }
  schedule : cosine { warmup = 30 }
}
eval exact : answers { run = ask, protocols = ages.protocols, max_tokens = 48 }
"""
TURNS = "<|user|>{question}\n<|assistant|><year>{{name}}</year>\n<|database|>{{reply}}\n<|assistant|>{answer}\n"
END = "<|eod|>\n<|answer|>{{reply}}.\n"
QUESTIONS = {
    "age1.txt": ("Age of {{name}} in 2010?", "<calc>2010-{{birth_year}}</calc>{{reply}}."),
    "age2.txt": ("When was {{name}} 40?", "In <calc>{{birth_year}}+40</calc>{{reply}}."),
}
FIRST = ["Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Gwen", "Hugo", "Iris", "Jack"]
LAST = ["Abel", "Bell", "Cole", "Dean", "Ford", "Gray", "Hale", "King", "Lane", "Moss"]


def write(folder: Path) -> None:
    (folder / "case.lmspec").write_text(SPEC, encoding="utf-8")
    for name, (question, answer) in QUESTIONS.items():
        turns = TURNS.replace("{question}", question).replace("{answer}", answer)
        (folder / name).write_text(turns + END, encoding="utf-8")
    (folder / "first.txt").write_text("\n".join(FIRST), encoding="utf-8")
    (folder / "last.txt").write_text("\n".join(LAST), encoding="utf-8")
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    lines = [f"Age of {n} in 2010? When was {n} 40? <year>{n}</year> <calc>2010-1977</calc>=33. In 40." for n in names]
    (folder / "words.txt").write_text("\n".join(lines), encoding="utf-8")


def opened(plan: Plan, folder: Path) -> Session:
    """A run store as a worker sees it."""
    return Session(
        plan=plan,
        components=wire(plan),
        names={},
        observers={},
        store=RunStore(folder / "runs"),
        digests=InputDigests(plan),
        placement=default_placement("cpu"),
        emit=lambda event: None,
        stop=lambda: False,
        started=time.time(),
    )


def test_the_tools_of_the_example_answer_its_templates(tmp_path: Path) -> None:
    plan = compile_spec(EXAMPLE, settings=["ages.count = 3"]).plan
    assert plan is not None
    session = opened(plan, tmp_path)
    (data,) = [component for component in session.components.values() if isinstance(component, DialoguesNode)]
    states = Walk(session, closure(plan.nodes, [data.node.id])).run()
    assert set(states.values()) == {"done"}
    dataset = session.product(data)
    assert dataset.size("train") == 12
    row, said = dataset.rows[0], [dataset.writer.tokenizer.decode(example.tokens) for example in dataset.examples[:4]]
    name, year = row["name"], int(row["birth_year"])
    for text, end in zip(
        said,
        (
            f"{name} turned <calc>2010-{year}</calc>={2010 - year}.",
            f"{name} turned <calc>2024-{year}</calc>={2024 - year}.",
            f"{name} turned 40 in <calc>{year}+40</calc>={year + 40}.",
            f"{name} works as a {row['occupation']}.",
        ),
        strict=True,
    ):
        assert text.endswith(f"<|assistant|>{end}<|eod|>")
        assert re.search(rf"of {name}</find><\|database\|>({year}|{row['occupation']})<\|assistant\|>", text)
    assert dataset.golds(list(dataset.questions())[:4]) == [
        f"{2010 - year}.",
        f"{2024 - year}.",
        f"{year + 40}.",
        f"{row['occupation']}.",
    ]


@pytest.mark.slow
def test_a_small_model_learns_two_tools_from_data_that_they_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    printed = capfd.readouterr().out
    assert "exact.calls.calculator" in printed
    assert "<|database|>" in printed
    (scored,) = tmp_path.glob("runs/*/scores.jsonl")
    metrics = json.loads(scored.read_text())["metrics"]
    assert metrics["accuracy"] >= 0.9
    assert metrics["follows"] >= 0.9
    assert metrics["calls"] >= 0.9
    assert min(metrics["calls.lookup"], metrics["calls.calculator"]) >= 0.9

    rows = [json.loads(line) for line in (scored.parent / "rows.jsonl").read_text().splitlines()]
    right = [row for row in rows if row["correct"]]
    assert len(right) >= 0.9 * 200
    for row in right:
        called = [(call["protocol"], call["outcome"]) for call in row["calls"]]
        assert called == [("lookup", "answered"), ("calculator", "answered")]

    session = opened(read_plan(tmp_path / "build" / "case"), tmp_path)
    parts = {type(component): component for component in session.components.values()}
    dataset = session.product(parts[DialoguesNode])
    model, toolkit = session.product(parts[TrainerNode]), session.product(parts[AutomatonNode])
    requests = [Request(question.prompt, 48) for question in dataset.questions()]
    transcripts = Engine(model, dataset.writer.tokenizer, toolkit).run(requests)
    for row, transcript, example in zip(rows, transcripts, dataset.examples, strict=True):
        if row["correct"]:
            assert list(transcript.tokens) == example.tokens.tolist()
