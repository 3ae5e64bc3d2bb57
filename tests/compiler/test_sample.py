"""`sample {}` of evaluations: defaults, identities, what a plan keeps."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.write import write_plan
from lmc.runtime.store.plan_files import read_plan
from lmc.spec.plan import Node

BASE = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 100, batch = 8 }
store facts : sqlite {
  file = file("people.db")
  table people : people { seed = 42 }
}
data questions : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("q.txt"), seq_len = 64
}
train ask { model = small, data = questions, steps = 100, batch = 8 }
"""
SAMPLE = """sample {
  top_p = 0.9, top_k = 40, min_p = 0.05, repetition = 1.2, presence = 0.1, frequency = 0.2
  bias end { token = "<|eod|>", add = -1 }
  banned = ["x"]
}"""


def nodes(tmp_path: Path, evals: str) -> dict[str, Node]:
    """The evaluations by name, written and read back."""
    path = tmp_path / "case.lmspec"
    path.write_text(BASE + evals, encoding="utf-8")
    compiled = compile_spec(path)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics.items]
    write_plan(compiled.plan, compiled.sourcemap(), tmp_path / "plan")
    return {node.name: node for node in read_plan(tmp_path / "plan").nodes.values()}


def hashed(**fields: Any) -> str:
    text = json.dumps({"kind": "eval", **fields}, sort_keys=True, separators=(",", ":"))
    return base64.b32encode(hashlib.blake2b(text.encode(), digest_size=10).digest()).decode().lower()


def test_the_temperature_follows_the_evaluation(tmp_path: Path) -> None:
    found = nodes(
        tmp_path,
        """
eval a : generate { run = base, temperature = 0.8, sample { top_p = 0.9 } }
eval b : generate { run = base, temperature = 0.8, sample { temperature = 0.3 } }
eval c : generate { run = base }
eval d : answers { run = ask }
eval e : answers { run = ask, temperature = 0.5 }
""",
    )
    assert {name: found[name].spec.sample.temperature for name in "abcde"} == {
        "a": 0.8,
        "b": 0.3,
        "c": 1.0,
        "d": 0.0,
        "e": 0.5,
    }


def test_every_field_reaches_the_plan(tmp_path: Path) -> None:
    spec = nodes(tmp_path, f'eval a : generate {{ run = base, stop = ["\\n"], {SAMPLE} }}')["a"].spec
    sample = spec.sample
    assert (sample.top_p, sample.top_k, sample.min_p) == (0.9, 40, 0.05)
    assert (sample.repetition, sample.presence, sample.frequency) == (1.2, 0.1, 0.2)
    assert [(bias.token, bias.add) for bias in sample.biases.values()] == [("<|eod|>", -1.0)]
    assert (sample.banned, spec.stop) == (("x",), ("\n",))


@pytest.mark.parametrize("said", ["", ", sample {}", ", sample { top_k = none, repetition = 1.0, banned = [] }"])
def test_what_changes_nothing_is_not_in_the_identity(said: str, tmp_path: Path) -> None:
    found = nodes(
        tmp_path,
        f"eval a : generate {{ run = base, temperature = 0.8{said} }}\neval d : answers {{ run = ask{said} }}",
    )
    run = found["base"].id
    assert found["a"].id == hashed(variant="generate", revision=2, run=run, temperature=0.8)
    assert found["d"].id == hashed(variant="answers", revision=1, run=found["ask"].id)


def test_what_changes_samples_is_in_the_identity(tmp_path: Path) -> None:
    evals = ["sample { top_p = 0.9 }", "sample { top_p = 0.8 }", "sample { temperature = 0.5 }", 'stop = ["a"]', SAMPLE]
    text = "\n".join(f"eval e{n} : generate {{ run = base, {said} }}" for n, said in enumerate(evals))
    found = nodes(tmp_path, text)
    assert len({found[f"e{n}"].id for n in range(len(evals))}) == len(evals)


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ('prompt = "<|nope|>R"', "LM0609", '"<|nope|>R"'),
        ('sample { banned = ["<|nope|>"] }', "LM0609", '["<|nope|>"]'),
        ('sample { banned = ["a", "ab"] }', "LM0303", '["a", "ab"]'),
        ('sample { bias end { token = "ab", add = 1.0 } }', "LM0303", '"ab"'),
        ('sample { bias end { token = "", add = 1.0 } }', "LM0303", '""'),
    ],
)
def test_texts_that_the_tokenizer_cannot_say_are_told_by_the_compiler(
    said: str, code: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / "case.lmspec").write_text(BASE + f"eval a : generate {{ run = base, {said} }}\n", "utf-8")
    (found,) = compile_spec(tmp_path / "case.lmspec").diagnostics.items
    assert (found.code, found.span and found.span.text) == (code, text)
