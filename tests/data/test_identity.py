"""What the identity of dialogues covers: protocols change it where tools write the data, and only there."""

import json
from pathlib import Path

import pytest

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.graph import wire
from lmc.runtime.inputs import InputDigests
from lmc.spec.canonical import Texts
from lmc.spec.data import Dialogues
from lmc.spec.identity import meaning
from lmc.spec.plan import Plan, references
from lmc.spec.protocol import Automaton
from lmc.spec.train import Train
from lmc.spec.units import Glob

SPEC = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|database|>", "<|eod|>"] }
store facts : sqlite {
  file = file("people.db")
  table people : people {}
}
protocol lookup : sql {
  store = facts
  call { open = "<find>", body = re"(?<name>[^<]+)", close = "</find>", handover = "<|database|>" }
  query = "SELECT occupation FROM people WHERE name = :name"
  reply { suffix = "<|assistant|>" }
}
protocol shout : python {
  call { open = "<shout>", body = re"(?<text>[^<]+)", close = "</shout>" }
  function = "voices:shout"
}
data talk : dialogues {
  tokenizer = bytes
  rows      = facts.people
  count     = 4
  templates = files("*.txt")
  protocols = [lookup, shout]
  replies   = "tools"
  seq_len   = 64
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = talk, steps = 2, batch = 2 }
"""
WRITTEN = SPEC.replace('replies   = "tools"', "")
GRID = "grid both { base = base, over { data.protocols = [[lookup], [shout]] } }\n"


def compiled(text: str, folder: Path) -> Plan:
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    for name, content in (
        ("a.txt", "<|user|>x\n<|assistant|>y\n<|answer|>y\n"),
        ("voices.py", "def shout(text): ...\n"),
    ):
        if not (folder / name).exists():
            (folder / name).write_text(content, encoding="utf-8")
    found = compile_spec(folder / "case.lmspec")
    assert found.plan is not None, found.diagnostics.items
    return found.plan


def node_of(plan: Plan, cls: type) -> str:
    (found,) = [node_id for node_id, node in plan.nodes.items() if isinstance(node.spec, cls)]
    return found


def test_data_whose_replies_are_written_are_what_they_were_before_tools_could_write_them() -> None:
    spec = Dialogues(tokenizer="t", rows="s/people", count=4, templates=Glob("*.txt"), protocols=("p",), seq_len=64)
    known = {"kind", "variant", "revision", "tokenizer", "rows", "count", "templates", "seq_len"}
    assert set(json.loads(meaning(spec, {}, Texts()))) == known


@pytest.mark.parametrize(
    "change",
    [
        ('suffix = "<|assistant|>"', 'suffix = ".<|assistant|>"'),
        ('suffix = "<|assistant|>"', 'suffix = "<|assistant|>", loss = true'),
        ("SELECT occupation", "SELECT birth_place"),
        ("voices:shout", "voices:whisper"),
        ("<shout>", "<cry>"),
        ("[lookup, shout]", "[lookup]"),
    ],
)
def test_protocols_are_part_of_data_that_tools_write(change: tuple[str, str], tmp_path: Path) -> None:
    for text, same in ((SPEC, False), (WRITTEN, "loss" not in change[1])):
        before, after = compiled(text, tmp_path), compiled(text.replace(*change), tmp_path)
        assert (node_of(before, Dialogues) == node_of(after, Dialogues)) == same
        assert (node_of(before, Train) == node_of(after, Train)) == same


def test_the_file_of_a_tool_is_an_input_of_data_that_it_writes(tmp_path: Path) -> None:
    for text, same in ((SPEC, False), (WRITTEN, True)):
        plan = compiled(text, tmp_path)
        before = InputDigests(plan).of(node_of(plan, Train))
        (tmp_path / "voices.py").write_text(f"def shout(text): return {text!r}\n", encoding="utf-8")
        assert (InputDigests(plan).of(node_of(plan, Train)) == before) == same


def test_points_that_differ_in_protocols_share_a_run_unless_tools_write_the_data(tmp_path: Path) -> None:
    for text, runs in ((SPEC, 2), (WRITTEN, 1)):
        plan = compiled(text + GRID, tmp_path)
        assert len({point.run for point in plan.points if point.grid == "both"}) == runs


def test_the_data_have_their_automaton_without_an_evaluation(tmp_path: Path) -> None:
    plan = compiled(SPEC, tmp_path)
    data = plan.nodes[node_of(plan, Dialogues)]
    automaton = node_of(plan, Automaton)
    assert automaton in references(data.spec)
    assert list(plan.nodes).index(automaton) < list(plan.nodes).index(data.id)
    assert wire(plan)[data.id].automaton.node.id == automaton  # type: ignore[attr-defined]
    written = compiled(WRITTEN, tmp_path)
    assert node_of(written, Automaton) not in references(written.nodes[node_of(written, Dialogues)].spec)


def test_a_wrong_protocol_of_data_that_tools_write_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "case.lmspec").write_text(SPEC.replace('handover = "<|database|>"', 'handover = "<|db|>"'), "utf-8")
    assert [d.code for d in compile_spec(tmp_path / "case.lmspec").diagnostics.items] == ["LM0609"]
