"""Generation: batches, lanes and parking change nothing; calls go through the real automaton and the real database."""

import random

import pytest
import torch
from attrs import evolve
from support.generation import LOOKUP, changed, said, scripted, toolkit_for

from lmc.compiler.cli import main
from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.requests import Request
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer


@pytest.fixture
def toolkit(people: Database, tokenizer: Tokenizer) -> Toolkit:
    return toolkit_for(people, tokenizer, LOOKUP)


def small(exact: Placement, mixer: Attention | GatedRecurrence) -> TransformerModel:
    spec = Transformer(vocab=260, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=32))
    return build_model(spec, exact, 1)


def test_a_call_is_answered_by_the_database(people: Database, tokenizer: Tokenizer, toolkit: Toolkit) -> None:
    row = people.tables["people"].rows(3)[2]
    call = f"```sql\nFIND occupation FOR {row['name']}\n```<|database|>"
    transcript = scripted(tokenizer, toolkit, call + "ok.<|eod|>")
    assert said(tokenizer, transcript) == f"{call}{row['occupation']}<|assistant|>ok.<|eod|>"
    (record,) = transcript.calls
    assert record.outcome == "answered"
    assert record.captures == {"attribute": "occupation", "name": row["name"]}
    start, end = transcript.injected[0]
    assert tokenizer.decode(transcript.tokens[start:end]) == row["occupation"] + "<|assistant|>"
    assert transcript.stop == "end"


@pytest.mark.parametrize(
    ("call", "reply", "outcome"),
    [
        ("```sql\nFIND occupation FOR Nobody\n```<|database|>", "No result found", "empty"),
        ("```sql\nFIND OCCUPATION FOR X\n```<|database|>", "What?", "malformed"),
        ("```sql\nFIND salary FOR X\n```<|database|>", "What?", "malformed"),
        ("hm<|database|>", "What?", "malformed"),
        ("```sql\nFIND occupation FOR X<|database|>", "What?", "malformed"),
    ],
)
def test_calls_that_have_no_answer_are_told_so(
    call: str, reply: str, outcome: str, tokenizer: Tokenizer, toolkit: Toolkit
) -> None:
    transcript = scripted(tokenizer, toolkit, call + "ok.<|eod|>")
    assert said(tokenizer, transcript) == f"{call}{reply}<|assistant|>ok.<|eod|>"
    assert transcript.calls[0].outcome == outcome


def test_more_calls_than_allowed_are_told_so(people: Database, tokenizer: Tokenizer, toolkit: Toolkit) -> None:
    row = people.tables["people"].rows(1)[0]
    call = f"```sql\nFIND birth_place FOR {row['name']}\n```<|database|>"
    transcript = scripted(tokenizer, toolkit, call + call + "<|eod|>")
    assert [c.outcome for c in transcript.calls] == ["answered", "too_many"]
    assert "Enough<|assistant|>" in said(tokenizer, transcript)


def test_an_end_inside_a_call_is_unterminated_and_nothing_is_run(tokenizer: Tokenizer, toolkit: Toolkit) -> None:
    transcript = scripted(tokenizer, toolkit, "```sql\nFIND occupation FOR X<|eod|>")
    assert transcript.calls == ()
    assert transcript.stop == "unterminated"


def test_without_a_hand_over_the_close_calls_and_nothing_after_it_stays(people: Database, tokenizer: Tokenizer) -> None:
    spec = changed(LOOKUP, handover=None)
    row = people.tables["people"].rows(1)[0]
    call = f"```sql\nFIND occupation FOR {row['name']}\n```"
    transcript = scripted(tokenizer, toolkit_for(people, tokenizer, spec), call + "<|eod|>")
    assert said(tokenizer, transcript) == f"{call}{row['occupation']}<|assistant|><|eod|>"


def test_injected_text_never_calls(people: Database, tokenizer: Tokenizer) -> None:
    nasty = "```sql\nFIND occupation FOR X\n```"
    spec = changed(LOOKUP, reply=evolve(LOOKUP.reply, malformed=nasty))
    transcript = scripted(tokenizer, toolkit_for(people, tokenizer, spec), "a<|database|>b<|eod|>")
    assert len(transcript.calls) == 1
    assert said(tokenizer, transcript) == f"a<|database|>{nasty}<|assistant|>b<|eod|>"


def test_a_length_limit_holds_with_replies(tokenizer: Tokenizer, toolkit: Toolkit) -> None:
    transcript = scripted(tokenizer, toolkit, "abc<|database|>", limit=6)
    assert transcript.stop == "length"
    assert len(transcript.tokens) - transcript.prompt <= 6


@pytest.mark.parametrize("mixer", [Attention(heads=2, kv_heads=1), GatedRecurrence()])
def test_lanes_batches_and_refills_change_nothing(
    mixer: Attention | GatedRecurrence, exact: Placement, tokenizer: Tokenizer, toolkit: Toolkit
) -> None:
    model = small(exact, mixer)
    rng = random.Random(0)
    requests = [
        Request(
            tuple(rng.randrange(256) for _ in range(rng.randint(1, 12))),
            rng.randint(1, 30),
            Sampling(rng.choice([0.0, 0.7, 1.5]), rng.choice([None, 5]), rng.choice([None, 0.8]), seed=number),
        )
        for number in range(11)
    ]
    alone = [Engine(model, tokenizer, toolkit).run([request])[0] for request in requests]
    for lanes in (2, 4, 64):
        assert Engine(model, tokenizer, toolkit, lanes).run(requests) == alone


def test_cached_greedy_decoding_equals_recomputing(exact: Placement, tokenizer: Tokenizer) -> None:
    model = small(exact, Attention(heads=2, kv_heads=2))
    (transcript,) = Engine(model, tokenizer).run([Request((65, 66, 67), 25)])
    tokens = [65, 66, 67]
    with torch.no_grad():
        while len(tokens) < len(transcript.tokens):
            logits = model(torch.tensor([tokens]), SequenceLayout.rows([len(tokens)]))
            tokens.append(int(logits[0, -1].argmax()))
    assert tokens == list(transcript.tokens)


def test_a_continuation_and_a_stop_string_are_not_empty() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        Request((1,), stop=("",))
    with pytest.raises(ValueError, match="at least one token"):
        Request((1,), 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-tokens", "0"],
        ["--max-tokens", "-3"],
        ["--temperature", "-1"],
        ["--top-k", "0"],
        ["--top-p", "7"],
        ["--top-p", "x"],
    ],
)
def test_numbers_out_of_range_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "run", "--prompt", "a", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err
