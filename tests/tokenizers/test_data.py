"""Texts and dialogues over every tokenizer: what is trained, and how many bytes it stands for."""

from pathlib import Path

import numpy as np
import pytest

from lmc.runtime.data.dataset import DialogueDataset, build_dialogues, build_text
from lmc.runtime.data.order import Draw
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.data import Dialogues, Split, Text
from lmc.spec.units import FilePath, Glob

from .made import TEXT

TEMPLATE = (
    "<|user|>What does {{name}} do?\n<|assistant|>{{name}} is a {{occupation}}, naïvely.\n"
    "<|user|>Zoë\n<|answer|>{{occupation}}\n"
)


@pytest.fixture
def dialogues(any_tokenizer: Tokenizer, people: Database, tmp_path: Path) -> DialogueDataset:
    (tmp_path / "a.txt").write_text(TEMPLATE, encoding="utf-8")
    spec = Dialogues(tokenizer="t", rows="s/people", count=9, templates=Glob("a.txt"), seq_len=200)
    return build_dialogues(spec, any_tokenizer, tmp_path, people)


def test_texts_count_the_bytes_of_their_targets(any_tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    spec = Text(source=FilePath("book.txt"), tokenizer="t", seq_len=20, split=Split(train=1.0, valid=0.0))
    dataset = build_text(spec, any_tokenizer, tmp_path)
    ids = any_tokenizer.encode(TEXT)
    assert np.array_equal(dataset.parts["train"], ids)
    for index in range(dataset.size("train")):
        tokens = dataset.example("train", Draw(index, 0)).tokens
        assert dataset.bytes_trained("train", index) == len(any_tokenizer.text_bytes(tokens[1:].tolist()))
    whole = sum(dataset.bytes_trained("train", index) for index in range(dataset.size("train")))
    kept = ids[1 : dataset.size("train") * 20 + 1]
    assert whole == len(any_tokenizer.text_bytes(kept)) > 0.9 * len(TEXT.encode())


def test_dialogues_say_what_the_template_and_the_table_say(
    any_tokenizer: Tokenizer, people: Database, dialogues: DialogueDataset
) -> None:
    user, assistant = (any_tokenizer.specials[speaker] for speaker in ("<|user|>", "<|assistant|>"))
    for index, row in enumerate(people.tables["people"].rows(9)):
        question = any_tokenizer.encode_next(f"What does {row['name']} do?")
        answer = any_tokenizer.encode_next(f"{row['name']} is a {row['occupation']}, naïvely.")
        example = dialogues.example("train", Draw(index, 0))
        want = [user, *question, assistant, *answer, user, *any_tokenizer.encode_next("Zoë")]
        assert example.tokens.tolist() == want
        learned = range(len(question) + 1, len(question) + 2 + len(answer))
        assert np.flatnonzero(example.trained).tolist() == list(learned)
        assert dialogues.bytes_trained("train", index) == len(any_tokenizer.text_bytes(answer))


def test_questions_end_where_the_model_speaks(
    any_tokenizer: Tokenizer, people: Database, dialogues: DialogueDataset
) -> None:
    for index, question in enumerate(dialogues.questions()):
        tokens = dialogues.example("valid", Draw(index, 0)).tokens.tolist()
        assert tuple(tokens[: len(question.prompt)]) == question.prompt
        assert question.prompt[-1] == any_tokenizer.specials["<|assistant|>"]
