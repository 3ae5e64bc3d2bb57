"""A trained run with a tool, for tests of what users do with one."""

from pathlib import Path

import pytest

from lmc.compiler.cli import main

SPEC = """
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
store facts : sqlite {
  file = file("people.db")
  table people : people { columns = ["birth_year"], first_names = file("first.txt"), last_names = file("last.txt") }
}
protocol sums : calculator {
  call { open = "=", body = re"(?<year>[0-9]{4})-(?<born>[0-9]{4})", close = ";" }
  expression = ":year - :born"
  reply { suffix = "." }
  constrain = "inside"
}
data ages : dialogues {
  tokenizer = bytes, rows = facts.people, count = 3, templates = files("age.txt")
  protocols = [sums], replies = "tools", seq_len = 64
}
data book : text { source = file("first.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 16, mixer : attention { heads = 2 } }
train ask { model = small, data = ages, steps = 150, batch = 3, optim : adamw { lr = 2e-2 } }
train plain { model = small, data = book, steps = 2, batch = 2 }
"""
TEMPLATE = """<|user|>Age of {{name}} in 2020?
<|assistant|>=2020-{{birth_year}};{{reply}}
<|eod|>
<|answer|>{{reply}}
"""
FIRST = "Ada Ben Cleo Dora Emil Finn Gwen Hugo Iris Jack"
LAST = "Abel Bell Cole Dean Ford Gray Hale King Lane Moss"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `ask`, which knows three ages and calls a calculator, and `plain`, which has no tools."""
    folder = tmp_path_factory.mktemp("trained")
    for name, text in {
        "case.lmspec": SPEC,
        "age.txt": TEMPLATE,
        "first.txt": FIRST.replace(" ", "\n") + "\n",
        "last.txt": LAST.replace(" ", "\n") + "\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "case.lmspec", "--device", "cpu"]) == 0
    return folder
