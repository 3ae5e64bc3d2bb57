"""What the compiler says of protocols and stores, and what a plan keeps of them."""

import time
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.inputs import InputDigests
from lmc.spec.evaluation import AnswersEval
from lmc.spec.plan import Plan
from lmc.spec.plan_text import parse_plan, plan_lines
from lmc.spec.protocol import PARAMETER, SPLICE, SqlProtocol
from lmc.spec.store import Postgres
from lmc.spec.train import Train
from lmc.spec.units import Env

SPEC = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>"] }
store facts : postgres { url = env("LMC_TEST_URL"), table people { columns = ["city"] } }
protocol free : sql {
  store = facts
  call { open = "<sql>", close = "</sql>" }
  query = "{body}"
  allow { body = "read_only" }
}
protocol local : python { call { open = "<py>", close = "</py>" }, function = "weather:now" }
protocol found : search {
  call { open = "<s>", close = "</s>" }
  table = facts.people, query = ":body", columns = ["city"]
}
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 6, templates = files("*.txt"), seq_len = 120
  protocols = [free, local, found]
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 1 } }
train base { model = small, data = recall, steps = 2, batch = 2 }
eval exact : answers { run = base, protocols = recall.protocols }
"""


def compiled(folder: Path, *changes: tuple[str, str]) -> Any:
    text = SPEC
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    return compile_spec(folder / "case.lmspec")


def plan_of(folder: Path, *changes: tuple[str, str]) -> Plan:
    found = compiled(folder, *changes)
    assert [d.message for d in found.diagnostics.items] == []
    plan: Plan = found.plan
    return plan


def test_a_plan_keeps_the_name_of_a_variable_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_TEST_URL", "postgresql://u:letmein@h/db")
    plan = plan_of(tmp_path)
    (store,) = (node.spec for node in plan.nodes.values() if isinstance(node.spec, Postgres))
    assert store.url == Env("LMC_TEST_URL")
    lines = list(plan_lines(plan))
    assert not any("letmein" in line for line in lines)
    assert parse_plan(lines, "plan").nodes == plan.nodes


def test_allow_holds_lists_and_whole_statements(tmp_path: Path) -> None:
    def allow(*changes: tuple[str, str]) -> object:
        nodes = plan_of(tmp_path, *changes).nodes.values()
        return next(node.spec.allow for node in nodes if isinstance(node.spec, SqlProtocol))

    assert allow() == {"body": "read_only"}
    assert allow(('"read_only"', '["read_only"]')) == {"body": ("read_only",)}
    assert allow(('"read_only"', '"city"')) == {"body": ("city",)}
    assert allow(('"read_only"', "facts.people.columns")) == {"body": ("city",)}


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        ('"read_only"', '"readonly"', "LM0304", "allow.body"),
        ('"read_only"', "3", "LM0301", "allow.body"),
        ('"read_only"', "[3]", "LM0301", "allow.body"),
        ('query = "{body}"', 'query = "SELECT {body}"', "LM0303", "more than that"),
        ('query = "{body}"', 'query = "SELECT city FROM people"', "LM0303", "more than that"),
        ('columns = ["city"]\n', 'columns = ["town"]\n', "LM0303", "no column `town`"),
        ('columns = ["city"]\n', "columns = []\n", "LM0303", "empty"),
        ('"weather:now"', '"weather"', "LM0303", "names no function"),
        ('"weather:now"', '"weather.:now"', "LM0303", "names no function"),
        ('env("LMC_TEST_URL")', "3", "LM0301", 'env("NAME")'),
        ('env("LMC_TEST_URL")', "env(3)", "LM0306", "takes a string"),
        ('"</py>" }', '"</py>" }, timeout = 0s', "LM0303", "timeout"),
        ('"</py>" }', '"</py>" }, max_bytes = 5', "LM0302", "max_bytes"),
        ('"</py>" }', '"</py>" }, constrain = "outside"', "LM0304", "constrain"),
        ('"</py>" }', '"</py>", match = "bytes" }', "LM0304", "match"),
        ('columns = ["city"] } }', "key = 3 } }", "LM0301", "key"),
        ("store facts : postgres", "store facts : mysql", "LM0202", "mysql"),
    ],
)
def test_mistakes_are_told_where_they_are(before: str, after: str, code: str, words: str, tmp_path: Path) -> None:
    found = [d for d in compiled(tmp_path, (before, after)).diagnostics.items if d.severity == "error"]
    assert code in [d.code for d in found]
    (first,) = [d for d in found if d.code == code][:1]
    assert words in first.message + first.help
    assert first.span is not None


def test_the_code_of_a_tool_is_an_input_of_what_asks_it_alone(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (tmp_path / "ask.txt").write_text("x")

    def digests() -> dict[type, str]:
        known = InputDigests(plan)
        return {type(node.spec): known.of(node.id) for node in plan.nodes.values()}

    (tmp_path / "weather.py").write_text("def now(body): return 'rain'\n")
    before = digests()
    time.sleep(0.01)
    (tmp_path / "weather.py").write_text("def now(body): return 'sun!'\n")
    after = digests()
    assert before[AnswersEval] != after[AnswersEval]
    assert before[Train] == after[Train]


@pytest.mark.parametrize(
    ("template", "parameters", "splices"),
    [
        ("SELECT {a} FROM t WHERE b = :b", ["b"], ["a"]),
        ("SELECT x::text, '12:30', :b::int, a:b", ["b"], []),
        (":a+:b", ["a", "b"], []),
        ("{a}{ b }{}", [], ["a"]),
    ],
)
def test_places_in_templates(template: str, parameters: list[str], splices: list[str]) -> None:
    assert PARAMETER.findall(template) == parameters
    assert SPLICE.findall(template) == splices
