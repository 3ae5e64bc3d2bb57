"""Whose tools answer where parts of a run's data speak different protocols."""

from pathlib import Path

import pytest

from lmc.compiler.cli import main
from lmc.runtime import load
from lmc.spec.diagnostic import LmcError

SPEC = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>", "<|answer|>"] }
store facts : sqlite {
  file = file("people.db")
  table people : people { columns = ["birth_year"], first_names = file("first.txt"), last_names = file("last.txt") }
}
protocol lookup : sql {
  store = facts
  call { open = "<year>", body = re"(?<name>[A-Za-z]+ [A-Za-z]+)", close = "</year>" }
  query = "SELECT birth_year FROM people WHERE name = :name"
  reply { prefix = "=" }
}
protocol sum : calculator {
  call { open = "<calc>", body = re"[0-9]+[-+][0-9]+", close = "</calc>" }
  expression = ":body"
  reply { prefix = "=" }
}
data born : dialogues {
  tokenizer = bytes, rows = facts.people, count = 4, templates = files("born.txt"), protocols = [lookup], seq_len = 96
}
data ages : born { templates = files("ages.txt"), protocols = [sum] }
data plain : born { templates = files("plain.txt"), protocols = [] }
data mixed : mixture {
  tokenizer = bytes, seq_len = 96
  part years { data = born }
  part sums { data = ages }
  part none_ { data = plain }
}
data alike : mixture { tokenizer = bytes, seq_len = 96, part a { data = born }, part b { data = plain } }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train ask { model = small, data = mixed, steps = 2, batch = 2 }
train one : ask { data = alike }
train staged : ask { data = born, steps = unset, stage first { steps = 1 }, stage then { steps = 1, data = ages } }
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "case.lmspec").write_text(SPEC, encoding="utf-8")
    (folder / "first.txt").write_text("Ada\nBen", encoding="utf-8")
    (folder / "last.txt").write_text("Abel\nBell", encoding="utf-8")
    turns = "<|user|>{{name}}?\n<|assistant|>%s.\n<|eod|>\n<|answer|>{{birth_year}}\n"
    (folder / "born.txt").write_text(turns % "<year>{{name}}</year>={{birth_year}}", encoding="utf-8")
    (folder / "ages.txt").write_text(turns % "<calc>2000+1</calc>=2001", encoding="utf-8")
    (folder / "plain.txt").write_text(turns % "2001", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "case.lmspec", "ask", "one", "staged", "--device", "cpu"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def tools(run: str, part: str | None = None) -> list[str]:
    toolkit = load(run, device="cpu", part=part).toolkit
    return [] if toolkit is None else [protocol.name for protocol in toolkit.protocols]


def test_a_part_says_whose_tools_answer() -> None:
    assert tools("ask", "years") == ["lookup"]
    assert tools("ask", "sums") == ["sum"]
    assert tools("ask", "none_") == []
    assert tools("staged", "born") == ["lookup"]
    assert tools("staged", "ages") == ["sum"]


def test_where_all_that_speaks_has_the_same_tools_nothing_needs_to_be_named() -> None:
    assert tools("one") == tools("one", "a") == ["lookup"]
    assert tools("one", "b") == []


@pytest.mark.parametrize(
    ("run", "parts", "first"), [("ask", ("sums", "years"), "sums"), ("staged", ("born", "ages"), "born")]
)
def test_tools_that_are_ambiguous_are_none(run: str, parts: tuple[str, str], first: str) -> None:
    with pytest.raises(LmcError) as caught:
        load(run, device="cpu")
    own = {"sums": "sum", "years": "lookup", "born": "lookup", "ages": "sum"}
    told = "; ".join(f"`{part}` speaks {own[part]}" for part in parts)
    assert caught.value.diagnostic.code == "LM0810"
    assert caught.value.diagnostic.message == f"parts of the data of `{run}` have different tools: {told}"
    assert caught.value.diagnostic.help == f"name the one that is meant: --part {first}"
    with pytest.raises(LmcError, match=f"the data of `{run}` has no part `nobody`"):
        load(run, device="cpu", part="nobody")


def test_the_command_names_a_part(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["generate", "ask", "--device", "cpu", "--prompt", "<|user|>", "--max-tokens", "2"]
    assert main(asked) == 1
    assert "error[LM0810]: parts of the data of `ask` have different tools" in capfd.readouterr().err
    assert main([*asked, "--part", "sums"]) == 0
