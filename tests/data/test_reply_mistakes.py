"""`{{reply}}` that no tool can give: one clear message with file, line and row."""

from pathlib import Path

import pytest
from support.dialogues import CALL, SPEAKERS, built, row_of
from support.generation import CALCULATOR, LOOKUP, bpe, toolkit_for

from lmc.runtime.data.templates import read_template
from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.stores.base import Database
from lmc.runtime.stores.permuted import permuted_store
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.diagnostic import LmcError

ASK = f"<|user|>?\n<|assistant|>{CALL}\n<|database|>{{{{reply}}}}\n<|assistant|>so.\n<|answer|>x\n"
SUM = "<|user|>?\n<|assistant|>hm\nhm <calc>1+1</calc>{{reply}}\n<|answer|>x\n"
MISTAKES = {
    "no call": (SUM.replace("<calc>1+1</calc>", "2 is "), 3, "stands behind no call", {}),
    "not right behind": (SUM.replace("{{", " {{"), 3, "stands behind no call", {}),
    "an open call": (SUM.replace("</calc>", ""), 3, "stands behind no call", {}),
    "the call of another turn": (SUM.replace("{{", "\n<|user|>{{"), 4, "stands behind no call", {}),
    "an ill-formed sum": (SUM.replace("1+1", "one"), 3, "no well-formed call of", {}),
    "an ill-formed query": (ASK.replace("FIND", "SEEK"), 5, "no well-formed call of", {}),
    "a query that is not allowed": (ASK.replace("occupation", "salary"), 5, "of `lookup` answers malformed", {}),
    "nothing found": (ASK.replace("{{name}}", "Nobody"), 5, "of `lookup` answers empty", {}),
    "a failing sum": (SUM.replace("1+1", "1/0"), 3, "`tool1` answers error (division by zero: body = 1/0)", {}),
    "too many calls": (ASK.replace("so.", f"{CALL}\n<|database|>{{{{reply}}}}"), 9, "answers too_many", {}),
    "nobody speaks": (ASK.replace("<|assistant|>so.", "<|user|>so."), 6, "gives the turn to", {"learn": ("<|user|>",)}),
    "fresh values": (ASK, 5, "the store that `lookup` asks does not hold them", {"values": "fresh"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_replies_that_no_tool_gives_are_told_with_place_and_row(
    mistake: str, people: Database, tokenizer: Tokenizer, toolkit: Toolkit, tmp_path: Path
) -> None:
    text, line, words, changes = MISTAKES[mistake]
    with pytest.raises(LmcError) as caught:
        built(text, people, toolkit, tokenizer, tmp_path, **changes)
    found = caught.value.diagnostic
    assert found.code == "LM0704"
    assert found.message.startswith(f"{tmp_path / 'a.txt'}:{line}: ")
    assert words in found.message
    assert found.message.endswith(f"(row `{row_of(people)['name']}`)")
    assert found.help


@pytest.mark.parametrize(
    ("text", "line", "words", "help"),
    [
        (SUM.replace("x\n", "{{repyl}}\n"), 4, "no column `repyl`", "did you mean `reply`"),
        (SUM.replace("{{reply}}", "2").replace("x\n", "{{reply}}\n"), 4, "no turn has one", ""),
    ],
)
def test_templates_that_make_no_sense_are_told(
    text: str,
    line: int,
    words: str,
    help: str,
    people: Database,
    tokenizer: Tokenizer,
    toolkit: Toolkit,
    tmp_path: Path,
) -> None:
    with pytest.raises(LmcError, match=rf"a\.txt:{line}: .*{words}") as caught:
        built(text, people, toolkit, tokenizer, tmp_path)
    assert help in caught.value.diagnostic.help


def test_data_must_say_that_tools_are_asked(
    people: Database, tokenizer: Tokenizer, toolkit: Toolkit, tmp_path: Path
) -> None:
    with pytest.raises(LmcError, match=r"a\.txt:3: the data do not say") as caught:
        built(SUM, people, toolkit, tokenizer, tmp_path, replies="written")
    assert 'replies = "tools"' in caught.value.diagnostic.help
    with pytest.raises(LmcError, match=r"a\.txt:3: `\{\{reply\}\}` needs protocols"):
        built(SUM, people, None, tokenizer, tmp_path)


def test_a_column_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SUM, encoding="utf-8")
    with pytest.raises(LmcError, match=r"a\.txt:3: .* the table has a column of that name"):
        read_template(tmp_path / "a.txt", SPEAKERS, ("name", "reply"))


def test_a_reply_behind_a_token_that_goes_on_is_behind_no_call(people: Database, tmp_path: Path) -> None:
    tokenizer = bpe(["</calc> then"], SPEAKERS)
    text = "<|user|>?\n<|assistant|><calc>1+1</calc> then{{reply}}\n<|answer|>x\n"
    with pytest.raises(LmcError, match=r"a\.txt:2: .* behind no call"):
        built(text, people, toolkit_for(people, tokenizer, CALCULATOR), tokenizer, tmp_path)


def test_a_gone_database_is_no_mistake_of_the_template(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    other = permuted_store(people, "people", people.tables["people"].rows(6), 1, tmp_path / "moved.db")
    assert other is not None
    toolkit = toolkit_for(other, tokenizer, LOOKUP)
    other.path.unlink()
    with pytest.raises(LmcError) as caught:
        built(ASK, people, toolkit, tokenizer, tmp_path)
    assert caught.value.diagnostic.code == "LM0902"
