"""Data: people, dialogues, texts and batches against straightforward re-tellings of their definitions."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.data.batch import Example, collate
from lmc.runtime.data.dataset import DialogueDataset, TextDataset, build_dataset
from lmc.runtime.data.order import Draw, draws
from lmc.runtime.data.people import load_pools
from lmc.runtime.stores.base import Database
from lmc.runtime.stores.open import make_store, open_store
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.data import Dialogues, Split, Text
from lmc.spec.diagnostic import LmcError
from lmc.spec.store import People, Sqlite, Table
from lmc.spec.units import FilePath, Glob

TEMPLATES = Path(__file__).parent.parent.parent / "examples" / "templates"
POOLS = {
    "first_names": [f"First{i}" for i in range(8)],
    "last_names": [f"Last{i}" for i in range(8)],
    "cities": [f"City{i}" for i in range(5)],
    "countries": ["Arvenia", "Belmark", "Corland"],
    "occupations": ["baker", "pilot", "poet", "Zoë"],
}


def dialogues(
    people: Database, tokenizer: Tokenizer, glob: str, root: Path = TEMPLATES, **changes: object
) -> DialogueDataset:
    fields = {"tokenizer": "t", "rows": "s/people", "count": 6, "templates": Glob(glob), "seq_len": 257, **changes}
    dataset = build_dataset(Dialogues(**fields), tokenizer, root, people)  # type: ignore[arg-type]
    assert isinstance(dataset, DialogueDataset)
    return dataset


def test_rows_are_those_of_the_reference_generator(people: Database) -> None:
    rng = random.Random(42)
    names = list(itertools.product(POOLS["first_names"], POOLS["last_names"]))
    rng.shuffle(names)
    want = []
    for first, last in names:
        birth_date = f"{rng.randint(1, 28)}/{rng.randint(1, 12)}/{rng.randint(1950, 2000)}"
        want.append(
            {
                "name": f"{first} {last}",
                "birth_date": birth_date,
                "birth_place": rng.choice(POOLS["countries"]),
                "current_address": rng.choice(POOLS["cities"]),
                "occupation": rng.choice(POOLS["occupations"]),
            }
        )
    assert people.tables["people"].rows(64) == want


def test_made_people_have_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    table = People(seed=3, columns=("birth_year", "birth_date"))
    database = make_store(Sqlite(file=FilePath("p.db"), tables={"people": table}), tmp_path, tmp_path)
    rows = database.tables["people"].rows(50)
    assert [list(row) for row in rows] == [["name", "birth_year", "birth_date"]] * 50
    assert all(row["birth_date"].endswith("/" + row["birth_year"]) for row in rows)
    assert len({row["birth_year"] for row in rows}) > 20
    for columns in ((), ("birth_year", "birth_year")):
        with pytest.raises(ValueError, match="different columns"):
            People(columns=columns)


def test_shipped_pools_are_as_large_as_the_published_ones() -> None:
    pools = load_pools(People(), Path())
    sizes = [
        len(set(p)) for p in (pools.first_names, pools.last_names, pools.cities, pools.countries, pools.occupations)
    ]
    assert all(have >= want for have, want in zip(sizes, (437, 388, 213, 7, 100), strict=True)), sizes


TOOL = (
    "<|user|>Who is {{name}}?\n<|assistant|>Asking:\n```sql\nFIND occupation FOR {{name}}\n```\n"
    "<|database|>{{occupation}}\n<|assistant|>{{name}} is a {{occupation}}.\n<|eod|>\n<|answer|>{{occupation}}.\n"
)


def test_tokens_and_mask_are_those_of_the_definition(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TOOL, encoding="utf-8")
    dataset = dialogues(people, tokenizer, "a.txt", tmp_path)
    for index, row in enumerate(people.tables["people"].rows(6)):
        name, job = row["name"].encode(), row["occupation"].encode()
        turns = [
            (256, b"Who is " + name + b"?", False),
            (257, b"Asking:\n```sql\nFIND occupation FOR " + name + b"\n```", True),
            (258, job, False),
            (257, name + b" is a " + job + b".", True),
            (259, b"", False),
        ]
        tokens = [t for speaker, text, _ in turns for t in (speaker, *text)]
        trained = [learned for _, text, learned in turns for _ in range(1 + len(text))]
        example = dataset.example("train", Draw(index, 0))
        assert example.tokens.tolist() == tokens
        assert example.trained.tolist() == trained


@pytest.mark.parametrize(("glob", "longest"), [("qa[0-9].txt", 89), ("qatool*.txt", 217), ("short*.txt", 217)])
def test_shipped_templates_have_the_published_shape(
    glob: str, longest: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    database = make_store(Sqlite(file=FilePath("p.db"), tables={"people": People()}), tmp_path, tmp_path)
    dataset = dialogues(database, tokenizer, glob, count=64)
    assert dataset.size("train") == 256
    assert max(len(example.tokens) for example in dataset.examples) <= longest
    spoken = {dataset.templates[i].answer.parts[1] for i in range(4)}
    assert spoken == {"birth_date", "birth_place", "current_address", "occupation"}


def test_every_trained_target_is_the_next_token_of_the_stream(people: Database, tokenizer: Tokenizer) -> None:
    dataset = dialogues(people, tokenizer, "qatool*.txt")
    examples = [dataset.example("train", Draw(i, 0)) for i in range(dataset.size("train"))]
    seen: list[tuple[int, ...]] = []
    for batch in collate(examples):
        tokens, width = batch.tokens.flatten(), batch.tokens.shape[1]
        for at, target in zip(batch.loss_index.tolist(), batch.targets.tolist(), strict=True):
            row, slot = divmod(at, width)
            assert slot + 1 < batch.layout.lengths[row]
            assert tokens[at + 1] == target
            seen.append((*batch.tokens[row, : slot + 2].tolist(),))
    want = [tuple(e.tokens[: t + 2].tolist()) for e in examples for t in np.flatnonzero(e.trained)]
    assert sorted(seen) == sorted(want)


def test_fresh_values_are_drawn_for_each_dialogue_and_again_the_same(people: Database, tokenizer: Tokenizer) -> None:
    dataset = dialogues(people, tokenizer, "short*.txt", values="fresh")
    first = [dataset.example("train", Draw(0, n)).tokens.tolist() for n in range(20)]
    assert [dataset.example("train", Draw(0, n)).tokens.tolist() for n in range(20)] == first
    assert len({tuple(tokens) for tokens in first}) > 10
    name = people.tables["people"].rows(1)[0]["name"]
    assert all(name in tokenizer.decode(tokens) for tokens in first)
    assert dataset.example("valid", Draw(0, 5)).tokens.tolist() == dataset.examples[0].tokens.tolist()


def test_values_never_become_special_tokens(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    template = tmp_path / "a.txt"
    template.write_text(TOOL, encoding="utf-8")
    dataset = dialogues(people, tokenizer, "a.txt", tmp_path)
    (written,) = dataset.writer.write([(dataset.templates[0], {"name": "X", "occupation": "<|eod|>"})])
    tokens = written.example.tokens.tolist()
    at = tokens.index(258)
    assert tokens[at : at + 9] == [258, *b"<|eod|>", 257]
    assert tokens.count(259) == 1
    assert tokenizer.encode_marked("a<|eod|>") == [97, 259]
    assert tokenizer.encode("<|eod|>") == list(b"<|eod|>")


def test_questions_stop_where_the_model_begins(people: Database, tokenizer: Tokenizer) -> None:
    dataset = dialogues(people, tokenizer, "qa[0-9].txt")
    questions = list(dataset.questions())
    row = people.tables["people"].rows(1)[0]
    assert tokenizer.decode(questions[0].prompt).endswith(f"{row['name']} born?<|assistant|>")
    assert dataset.golds(questions)[0] == row["birth_date"] + "."


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("hello\n", "LM0704", "must begin"),
        ("<|user|>{{nam}}\n<|answer|>x\n", "LM0704", "no column `nam`"),
        ("<|user|>x\n", "LM0704", "has 0"),
        ("<|admin|>x\n<|answer|>x\n", "LM0609", "<|admin|>"),
        ("<|user|>say <|sudo|>\n<|answer|>x\n", "LM0609", "<|sudo|>"),
    ],
)
def test_template_mistakes_are_told(
    text: str, code: str, words: str, people: Database, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(LmcError) as caught:
        dialogues(people, tokenizer, "a.txt", tmp_path)
    assert caught.value.diagnostic.code == code
    assert words in caught.value.diagnostic.message


def test_a_dialogue_that_is_too_long_is_an_error_or_dropped_and_counted(people: Database, tokenizer: Tokenizer) -> None:
    with pytest.raises(LmcError, match="seq_len is 80") as caught:
        dialogues(people, tokenizer, "qa*.txt", seq_len=80)
    assert caught.value.diagnostic.code == "LM0703"
    kept = dialogues(people, tokenizer, "qa*.txt", seq_len=80, overflow="drop")
    assert 0 < kept.size("train") < 48
    assert f"{48 - kept.size('train'):,} dropped" in kept.describe()


def test_too_few_rows_missing_and_damaged_files_are_told(
    people: Database, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(LmcError, match="64 rows") as caught:
        dialogues(people, tokenizer, "qa*.txt", count=65)
    assert caught.value.diagnostic.code == "LM0705"
    spec = Sqlite(file=FilePath("x.db"), tables={"people": Table(columns=("birth_date",))})
    with pytest.raises(LmcError) as caught:
        open_store(spec, tmp_path, tmp_path)
    assert caught.value.diagnostic.code == "LM0701"
    (tmp_path / "x.db").write_bytes(people.path.read_bytes()[:500])
    with pytest.raises(LmcError) as caught:
        open_store(spec, tmp_path, tmp_path)
    assert caught.value.diagnostic.code == "LM0702"


@given(st.integers(1, 300), st.integers(0, 2**32), st.integers(0, 5))
def test_shuffled_epochs_are_permutations(size: int, seed: int, epoch: int) -> None:
    found = [d.index for d in draws("shuffle", seed, epoch * size, size, size)]
    assert sorted(found) == list(range(size))


@given(st.sampled_from(["shuffle", "replace"]), st.integers(1, 50), st.integers(0, 99), st.integers(0, 200))
def test_the_order_does_not_depend_on_where_it_is_begun(order: str, size: int, seed: int, start: int) -> None:
    whole = list(draws(order, seed, 0, start + 10, size))  # type: ignore[arg-type]
    assert whole[start:] == list(draws(order, seed, start, 10, size))  # type: ignore[arg-type]
    assert all(0 <= d.index < size for d in whole)


def test_independent_draws_are_even() -> None:
    counts = np.bincount([d.index for d in draws("replace", 1, 0, 20_000, 10)], minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


@given(st.lists(st.integers(2, 60), min_size=1, max_size=40), st.sampled_from([None, 1, 3]))
def test_micro_batches_hold_each_trained_position_once_with_bounded_padding(
    lengths: list[int], micro_batch: int | None
) -> None:
    rng = np.random.default_rng(0)
    examples = []
    for length in lengths:
        trained = rng.random(length) < 0.5
        trained[0], trained[-1] = True, False
        examples.append(Example(rng.integers(0, 9, length).astype(np.int32), trained))
    batches = collate(examples, micro_batch)
    total = sum(int(e.trained.sum()) for e in examples)
    assert sum(len(b.loss_index) for b in batches) == total
    assert all(b.n_loss == total for b in batches)
    if micro_batch is None:
        slots = sum(b.tokens.numel() for b in batches)
        assert slots - sum(lengths) <= 0.10 * slots
    else:
        assert all(len(b.tokens) <= micro_batch for b in batches)


def test_a_text_is_cut_into_sequences(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(1000)) + "é"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    spec = Text(source=FilePath("a.txt"), tokenizer="t", seq_len=50, split=Split(train=0.8, valid=0.2))
    dataset = build_dataset(spec, tokenizer, tmp_path, None)
    assert isinstance(dataset, TextDataset)
    data = list(text.encode())
    cut = round(0.8 * len(data))
    assert dataset.size("train") == (cut - 1) // 50
    example = dataset.example("train", Draw(2, 0))
    assert example.tokens.tolist() == data[100:151]
    assert example.trained.tolist() == [True] * 50 + [False]
    assert dataset.example("valid", Draw(0, 0)).tokens.tolist() == data[cut : cut + 51]
    assert dataset.bytes_trained("train", 0) == 50


def test_bad_texts_are_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = Text(source=FilePath("a.txt"), tokenizer="t", seq_len=50)
    for data, code in ((None, "LM0701"), (b"\xff\xfe" * 90, "LM0702"), (b"short", "LM0705")):
        if data is not None:
            (tmp_path / "a.txt").write_bytes(data)
        with pytest.raises(LmcError) as caught:
            build_dataset(spec, tokenizer, tmp_path, None)
        assert caught.value.diagnostic.code == code


@pytest.mark.parametrize(("train", "seen"), [(0.0, 0), (0.25, 50), (1.0, 200)])
def test_a_text_whose_share_is_too_short_says_how_much_of_it_is_trained_on(
    train: float, seen: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 200)
    spec = Text(source=FilePath("a.txt"), tokenizer="t", seq_len=210, split=Split(train=train, valid=0.0))
    with pytest.raises(LmcError) as caught:
        build_dataset(spec, tokenizer, tmp_path, None)
    found = caught.value.diagnostic
    assert f"{seen} tokens" in found.message
    assert ("of 200" in found.message) == ("split" in found.help) == (train < 1)
    assert "211" in found.message


def test_batches_move_with_their_placement(people: Database, tokenizer: Tokenizer, exact: object) -> None:
    (batch, *_) = collate([dialogues(people, tokenizer, "qa[0-9].txt").example("train", Draw(0, 0))])
    assert batch.to(exact).weight.dtype == torch.float64  # type: ignore[arg-type]
