"""Vocabularies that only a run knows: what the compiler says of them, and that a run fills them in."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lmc.compiler.pipeline import Compiled, compile_spec
from lmc.compiler.plan.why import explain_value
from lmc.runtime.events import Event
from lmc.runtime.graph import Walk, wire
from lmc.runtime.inputs import InputDigests
from lmc.runtime.placement import Placement
from lmc.runtime.session import Session
from lmc.runtime.store.run_store import RunStore
from lmc.runtime.tokenizers.build import build_tokenizer, trained_tokenizer
from lmc.runtime.tokenizers.ranks import write_ranks
from lmc.runtime.tokenizers.train_bpe import train_bpe
from lmc.spec.model import Transformer
from lmc.spec.plan import Plan, closure
from lmc.spec.tokenizer import BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from lmc.spec.units import FilePath

from .made import TEXT

SPEC = """
tokenizer words : %s
data book : text { source = file("book.txt"), tokenizer = words, seq_len = 16 }
model small : transformer { tokenizer = words, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 2, batch = 4 }
"""
READ = 'tiktoken { file = file("words.tiktoken"), specials = ["<|eod|>"] }'
TRAINED = 'bpe { size = 300, source = file("book.txt"), specials = ["<|eod|>"] }'
Compile = Callable[[str], Compiled]


@pytest.fixture
def compile_(tmp_path: Path) -> Compile:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    write_ranks(tmp_path / "words.tiktoken", train_bpe(TEXT.split(" "), 290))

    def run(text: str) -> Compiled:
        path = tmp_path / "case.lmspec"
        path.write_text(text, encoding="utf-8")
        return compile_spec(path)

    return run


def errors(compiled: Compiled) -> list[tuple[str, str]]:
    found = [d for d in compiled.diagnostics.items if d.severity == "error"]
    return [(d.code, d.span.text if d.span else "") for d in found]


def plan_of(compiled: Compiled) -> Plan:
    assert compiled.plan is not None, [(d.code, d.message) for d in compiled.diagnostics.items]
    return compiled.plan


def session_of(plan: Plan, folder: Path, told: list[Event]) -> Session:
    store = RunStore(folder / "runs")
    store.create()
    return Session(
        plan=plan,
        components=wire(plan),
        names={},
        observers={},
        store=store,
        digests=InputDigests(plan),
        placement=Placement(torch.device("cpu")),
        emit=told.append,
        stop=lambda: False,
        started=time.time(),
    )


def walked(plan: Plan, folder: Path) -> tuple[Session, list[Event], set[str]]:
    """Run what the plan's trainings need; return the states that nodes ended in as well."""
    told: list[Event] = []
    session = session_of(plan, folder, told)
    states = Walk(session, closure(plan.nodes, [point.run for point in plan.points])).run()
    return session, told, set(states.values())


@pytest.mark.parametrize(
    ("spec", "vocab"),
    [
        (ByteTokenizer(specials=("<|x|>",)), 257),
        (BpeTokenizer(size=1000, source=FilePath("x"), specials=("<|x|>",)), 1001),
        (TiktokenTokenizer(encoding="gpt2"), 50_257),
        (TiktokenTokenizer(encoding="gpt2", specials=("<|x|>", "<|endoftext|>")), 50_258),
        (TiktokenTokenizer(encoding="o200k_harmony", specials=("<|call|>", "<|reserved_201087|>")), 201_088),
        (TiktokenTokenizer(file=FilePath("x"), specials=("<|x|>",)), None),
        (HfTokenizer(repo="a/b"), None),
    ],
)
def test_sizes_that_follow_from_the_spec_are_known(spec: Any, vocab: int | None) -> None:
    assert spec.vocab == vocab


def test_a_named_encodings_size_reaches_the_model(compile_: Compile) -> None:
    text = SPEC % 'tiktoken { encoding = "gpt2", specials = ["<|x|>", "<|endoftext|>"] }'
    text += "let rows = base.model.vocab\nassert rows == 50258 and base.model.params > 2 * 8 * rows\n"
    plan = plan_of(compile_(text))
    (model,) = [node.spec for node in plan.nodes.values() if isinstance(node.spec, Transformer)]
    assert model.vocab == 50_258
    assert plan.points[0].values["model.params"] == model.num_params()


def test_an_unknown_vocabulary_compiles_and_stays_open(compile_: Compile) -> None:
    compiled = compile_(SPEC % READ)
    plan = plan_of(compiled)
    (model,) = [node.spec for node in plan.nodes.values() if isinstance(node.spec, Transformer)]
    assert (model.vocab, model.params) == (None, None)
    assert plan.points[0].values["model.params"] is None
    with pytest.raises(ValueError, match="only when"):
        model.num_params()
    assert "known only when" in next(iter(explain_value(compiled, "base.model.params")))


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ("train two : base { batch = model.vocab // 8 }\n", "model.vocab"),
        ("train two : base { batch = 4, assert model.params < 1M }\n", "model.params"),
        ("model big : small { width = 8 * tokenizer.vocab }\ntrain two : base { model = big }\n", "tokenizer.vocab"),
        ("assert base.model.tokenizer.vocab < 1k\n", "base.model.tokenizer.vocab"),
        ("plot p : line { from = base, x = model.params, y = loss.train }\n", "model.params"),
        ("plot p : line { from = base, x = seed, y = loss.train, where = model.vocab > 9 }\n", "model.vocab"),
    ],
)
def test_what_needs_an_unknown_value_is_told_once(more: str, at: str, compile_: Compile) -> None:
    assert errors(compile_(SPEC % READ + more)) == [("LM0311", at)]
    assert errors(compile_(SPEC % TRAINED + more.replace("// 8", "// 100"))) == []


def test_a_grid_that_filters_by_an_unknown_value_is_told_once(compile_: Compile) -> None:
    grid = "grid sweep { base = base\n over { model.width = [8, 16] }\n where = model.params > 1\n }\n"
    compiled = compile_(SPEC % READ + grid)
    ((code, _),) = errors(compiled)
    assert code == "LM0507"
    assert "LM0311" in compiled.diagnostics.items[0].message
    assert errors(compile_(SPEC % TRAINED + grid)) == []


@pytest.mark.parametrize(
    ("tokenizer", "code", "at"),
    [
        ("tiktoken {}", "LM0309", "words"),
        ('tiktoken { encoding = "gpt2", file = file("a") }', "LM0309", 'file("a")'),
        ('tiktoken { encoding = "gpt2", pattern = "gpt2" }', "LM0309", '"gpt2"'),
        ('tiktoken { encoding = "gpt3" }', "LM0304", '"gpt3"'),
        ('tiktoken { file = file("a"), pattern = "gpt3" }', "LM0304", '"gpt3"'),
        ("hf {}", "LM0309", "words"),
        ('hf { repo = "a/b", file = file("a") }', "LM0309", 'file("a")'),
        ('hf { file = file("a"), revision = "b" }', "LM0309", '"b"'),
        ('bpe { size = 255, source = file("a") }', "LM0303", "255"),
        ('bpe { size = 300, source = file("a"), pattern = "words" }', "LM0304", '"words"'),
        ('byte { specials = ["<|a|>", "<|a|>"] }', "LM0303", '["<|a|>", "<|a|>"]'),
        ('byte { specials = [""] }', "LM0303", '[""]'),
    ],
)
def test_mistakes_in_a_tokenizer_are_told(tokenizer: str, code: str, at: str, compile_: Compile) -> None:
    assert errors(compile_(SPEC % tokenizer)) == [(code, at)]


def test_a_model_without_enough_ids_is_told_when_that_is_known(compile_: Compile, tmp_path: Path) -> None:
    def small(text: str, vocab: str) -> str:
        return text.replace("tokenizer = words, layers", f"tokenizer = words, vocab = {vocab}, layers")

    assert errors(compile_(small(SPEC % TRAINED, "300"))) == [("LM0406", "300")]
    assert errors(compile_(small(SPEC % TRAINED, "301"))) == []
    without = (SPEC % TRAINED).replace("tokenizer = words, layers", "vocab = none, layers")
    assert errors(compile_(without)) == [("LM0209", "none")]
    plan = plan_of(compile_(small(SPEC % READ, "290")))
    _, told, states = walked(plan, tmp_path)
    failed = [event.data for event in told if event.kind == "failed"]
    assert [(event["code"], "291 ids" in event["message"]) for event in failed] == [("LM0406", True)]
    assert "failed" in states
    _, _, states = walked(plan_of(compile_(small(SPEC % READ, "291"))), tmp_path)
    assert states == {"done"}


def test_a_written_default_pattern_is_the_same_tokenizer(compile_: Compile) -> None:
    def ids(tokenizer: str) -> set[str]:
        return set(plan_of(compile_(SPEC % tokenizer)).nodes)

    assert ids(READ) == ids(READ.replace("specials", 'pattern = "cl100k", specials'))
    assert not ids(READ) & ids(READ.replace("specials", 'pattern = "o200k", specials'))
    assert ids(TRAINED) == ids(TRAINED.replace("specials", 'pattern = "cl100k", specials'))


def test_a_run_fills_an_unknown_vocabulary_in(compile_: Compile, tmp_path: Path) -> None:
    plan = plan_of(compile_(SPEC % READ))
    session, told, states = walked(plan, tmp_path)
    assert states == {"done"}
    trainer = session.components[plan.points[0].run]
    model = session.product(trainer)
    assert model.spec.vocab == 291
    assert model.embed.weight.shape == (291, 8)
    notes = [event.data["text"] for event in told if event.kind == "note"]
    assert any(note.startswith(f"{model.spec.num_params():,} parameters") for note in notes)
    folder = session.folder(plan.points[0].run)
    assert folder.summary["params"] == model.spec.num_params()
    assert json.loads((folder.path / "params.json").read_text())["vocab"] == 291


def test_another_file_is_another_folder(compile_: Compile, tmp_path: Path) -> None:
    plan = plan_of(compile_(SPEC % READ))
    before = InputDigests(plan).of(plan.points[0].run)
    write_ranks(tmp_path / "words.tiktoken", train_bpe(TEXT.split(" "), 291))
    assert InputDigests(plan).of(plan.points[0].run) != before


def test_a_trained_tokenizer_is_kept_in_the_store_and_not_trained_again(compile_: Compile, tmp_path: Path) -> None:
    plan = plan_of(compile_(SPEC % TRAINED))
    session, _, states = walked(plan, tmp_path)
    assert states == {"done"}
    (number,) = [i for i, node in plan.nodes.items() if isinstance(node.spec, BpeTokenizer)]
    path = session.folder(number).path / "vocabulary.tiktoken"
    tokenizer = session.product(session.components[number])
    assert tokenizer.digest() == trained_tokenizer(plan.nodes[number].spec, path).digest()
    read = TiktokenTokenizer(file=FilePath(str(path)), pattern=plan.nodes[number].spec.pattern, specials=("<|eod|>",))
    assert build_tokenizer(read).digest() == tokenizer.digest()
    before = path.stat().st_mtime_ns
    _, told, states = walked(plan, tmp_path)
    assert states == {"done"}
    assert not [event for event in told if event.kind == "start"]
    assert path.stat().st_mtime_ns == before


def test_a_text_that_gives_too_few_tokens_says_so(compile_: Compile, tmp_path: Path) -> None:
    plan = plan_of(compile_(SPEC % TRAINED.replace("300", "50k")))
    session, told, states = walked(plan, tmp_path)
    assert states == {"done"}
    (note,) = [e.data["text"] for e in told if e.kind == "note" and "unused" in e.data["text"]]
    (number,) = [i for i, node in plan.nodes.items() if isinstance(node.spec, BpeTokenizer)]
    made = session.folder(number).summary["tokens"]
    assert 300 < made < 50_000
    assert f"{made:,} tokens" in note
    assert session.product(session.components[number]).vocab_size == 50_001
