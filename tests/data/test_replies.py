"""`{{reply}}` in templates: what tools say when data are built is what they would say to a model, token for token."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import evolve
from support.dialogues import CALL, SPEAKERS, Reciter, built, row_of
from support.generation import CALCULATOR, FIND, LOOKUP, bpe, changed, toolkit_for

from lmc.runtime.data.order import Draw
from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.requests import Request
from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.stores.base import Database
from lmc.runtime.stores.permuted import permuted_store
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.byte import Bytes
from lmc.runtime.tools.base import Answer
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.make import moved
from lmc.spec.protocol import PythonProtocol, Reply, ToolCall
from lmc.spec.units import Duration, Pattern

USER, ASSISTANT, DATABASE, EOD = 256, 257, 258, 259
BOTH = (
    "<|user|>Who is {{name}}?\n"
    f"<|assistant|>{CALL}\n"
    "<|database|>{{reply}}\n"
    "<|assistant|>A {{occupation}}, <calc>7*(3-1)</calc>{{reply}} years.<calc>1+1</calc>{{reply}}\n"
    "<|eod|>\n"
    "<|answer|>{{reply}} of {{occupation}}\n"
)
WORDS = [
    "</calc>",
    "</calc>=",
    ">=",
    "=14",
    "; years",
    " years.",
    "<calc>",
    "7*",
    "\n```",
    "```sql\n",
    "FIND ",
    "baker",
]


@pytest.fixture(params=["bytes", "bpe"])
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Bytes(SPEAKERS) if request.param == "bytes" else bpe(WORDS, SPEAKERS)


@pytest.mark.parametrize("constrain", ["off", "inside"])
def test_tokens_are_those_of_the_generated_transcript(
    constrain: str, people: Database, any_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """A model that says what the data say outside of replies gets the data: tokens, and where replies lie."""
    lookup = changed(LOOKUP, constrain=constrain, body=Pattern(FIND, True))
    toolkit = toolkit_for(people, any_tokenizer, lookup, changed(CALCULATOR, constrain=constrain))
    dataset = built(BOTH, people, toolkit, any_tokenizer, tmp_path)
    for question, example in zip(dataset.questions(), dataset.examples, strict=True):
        tokens = example.tokens.tolist()
        model = Reciter(tokens, any_tokenizer.vocab_size)
        (transcript,) = Engine(model, any_tokenizer, toolkit).run([Request(question.prompt, 300)])
        assert list(transcript.tokens) == tokens
        replies = {at for start, end in transcript.injected for at in range(start, end)}
        assert unsaid(tokens, example.trained.tolist(), len(question.prompt)) == replies
        called = [(call.protocol, call.outcome) for call in transcript.calls]
        assert called == [("lookup", "answered"), ("tool1", "answered"), ("tool1", "answered")]


def unsaid(tokens: list[int], trained: list[bool], start: int) -> set[int]:
    """The positions of an answer whose token is no trained target."""
    return {at for at in range(start, len(tokens)) if not trained[at - 1]}


def test_a_call_ends_its_token(people: Database, tmp_path: Path) -> None:
    """Text of a call and of its reply are never one token, although the vocabulary has one that spells both."""
    tokenizer = bpe(WORDS, SPEAKERS)
    joined = tokenizer.encode("</calc>=")
    assert len(joined) == 1
    dataset = built(BOTH, people, toolkit_for(people, tokenizer, LOOKUP, CALCULATOR), tokenizer, tmp_path)
    assert "</calc>=14; years." in tokenizer.decode(dataset.examples[0].tokens)
    assert joined[0] not in dataset.examples[0].tokens


@pytest.mark.parametrize("learned", [(), ("lookup",), ("calculator",), ("lookup", "calculator")])
def test_replies_are_trained_where_the_protocol_says_so(
    learned: tuple[str, ...], people: Database, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    specs = {"lookup": LOOKUP, "calculator": CALCULATOR}
    changed_specs = [evolve(s, reply=evolve(s.reply, loss=n in learned)) for n, s in specs.items()]
    toolkit = toolkit_for(people, tokenizer, *changed_specs)
    text = BOTH.split("<calc>1+1")[0] + "\n<|eod|>\n<|answer|>x\n"
    dataset = built(text, people, toolkit, tokenizer, tmp_path)
    name, job = (row_of(people)[column].encode() for column in ("name", "occupation"))
    said: list[tuple[list[int], bool]] = [
        ([USER, *b"Who is " + name + b"?", ASSISTANT], False),
        ([*b"```sql\nFIND occupation FOR " + name + b"\n```", DATABASE], True),
        ([*job, ASSISTANT], "lookup" in learned),
        ([*b"A " + job + b", <calc>7*(3-1)</calc>"], True),
        ([*b"=14;"], "calculator" in learned),
        ([*b" years.", EOD], True),
    ]
    assert dataset.examples[0].tokens.tolist() == [token for tokens, _ in said for token in tokens]
    targets = [target for tokens, target in said for _ in tokens]
    assert dataset.examples[0].trained.tolist() == [*targets[1:], False]


def test_a_written_reply_beside_an_asked_one_is_left_as_it_is(
    people: Database, tokenizer: Tokenizer, toolkit: Toolkit, tmp_path: Path
) -> None:
    text = BOTH.replace("<|database|>{{reply}}", "<|database|>{{occupation}}").replace(
        "1+1</calc>{{reply}}", "1+1</calc>2"
    )
    dataset = built(text, people, toolkit, tokenizer, tmp_path)
    job = row_of(people)["occupation"]
    assert tokenizer.decode(dataset.examples[0].tokens).endswith(
        f"```<|database|>{job}<|assistant|>A {job}, <calc>7*(3-1)</calc>=14; years.<calc>1+1</calc>2<|eod|>"
    )


def test_who_called_goes_on_where_a_reply_names_nobody(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    lookup = evolve(LOOKUP, reply=evolve(LOOKUP.reply, suffix=". "))
    toolkit = toolkit_for(people, tokenizer, lookup)
    text = f"<|user|>?\n<|assistant|>{CALL}\n<|database|>{{{{reply}}}}So be it.\n<|eod|>\n<|answer|>it.\n"
    dataset = built(text, people, toolkit, tokenizer, tmp_path)
    tokens, trained = (array.tolist() for array in (dataset.examples[0].tokens, dataset.examples[0].trained))
    job = row_of(people)["occupation"]
    assert tokenizer.decode(tokens).endswith(f"<|database|>{job}. So be it.<|eod|>")
    assert tokenizer.decode([tokens[at] for at in sorted(unsaid(tokens, trained, 3))]) == f"{job}. "


@pytest.mark.parametrize(
    ("suffix", "trained"), [("", "<calc>1+1</calc> then.<|eod|>"), ("<|user|>", "<calc>1+1</calc>")]
)
def test_whom_a_reply_names_goes_on_in_the_middle_of_a_turn(
    suffix: str, trained: str, people: Database, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    toolkit = toolkit_for(people, tokenizer, evolve(CALCULATOR, reply=Reply(suffix=suffix)))
    text = "<|user|>?\n<|assistant|><calc>1+1</calc>{{reply}} then.\n<|eod|>\n<|answer|>x\n"
    (example, *_) = built(text, people, toolkit, tokenizer, tmp_path).examples
    tokens, learned = example.tokens.tolist(), example.trained.tolist()
    assert tokenizer.decode(tokens) == f"<|user|>?<|assistant|><calc>1+1</calc>2{suffix} then.<|eod|>"
    assert tokenizer.decode([token for token, on in zip(tokens[1:], learned[:-1], strict=True) if on]) == trained


class Spaced(Bytes):
    """A tokenizer that writes a space before a text that begins one, as some do."""

    def encode(self, text: str) -> list[int]:
        return [32, *text.encode()]

    def encode_next(self, text: str) -> list[int]:
        return list(text.encode())


def test_text_behind_a_reply_begins_no_text(people: Database, tmp_path: Path) -> None:
    tokenizer = Spaced(SPEAKERS)
    dataset = built(BOTH, people, toolkit_for(people, tokenizer, LOOKUP, CALCULATOR), tokenizer, tmp_path)
    job = row_of(people)["occupation"]
    assert f"{job}<|assistant|>A {job}, <calc>7*(3-1)</calc>=14; years." in tokenizer.decode(dataset.examples[0].tokens)


def test_a_question_may_hold_calls_and_replies(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Calls before the first learned speaker are answered; they do not count for the answer."""
    toolkit = toolkit_for(people, tokenizer, LOOKUP, changed(CALCULATOR, max_calls=1))
    text = "<|user|><calc>1+1</calc>{{reply}}?\n<|assistant|><calc>2*2</calc>{{reply}}\n<|eod|>\n<|answer|>{{reply}}\n"
    dataset = built(text, people, toolkit, tokenizer, tmp_path)
    (question, *_) = dataset.questions()
    assert tokenizer.decode(question.prompt) == "<|user|><calc>1+1</calc>=2;?<|assistant|>"
    assert tokenizer.decode(dataset.examples[0].tokens).endswith("<calc>2*2</calc>=4;<|eod|>")
    assert dataset.golds([question]) == ["4"]


def test_answers_that_are_replies_follow_the_values(
    people: Database, tokenizer: Tokenizer, toolkit: Toolkit, tmp_path: Path
) -> None:
    text = f"<|user|>?\n<|assistant|>{CALL}\n<|database|>{{{{reply}}}}\n<|assistant|>.\n<|answer|>the {{{{reply}}}}.\n"
    dataset = built(text, people, toolkit, tokenizer, tmp_path)
    questions = list(dataset.questions())
    assert dataset.golds(questions) == [f"the {row['occupation']}." for row in dataset.rows]
    other = permuted_store(people, "people", dataset.rows, 1, tmp_path / "moved.db")
    assert other is not None
    rows = other.tables["people"].rows(6)
    assert [row["occupation"] for row in rows] != [row["occupation"] for row in dataset.rows]
    with moved(toolkit.executor, people, other) as executor:
        golds = dataset.golds(questions, rows, evolve(toolkit, executor=executor))
    assert golds == [f"the {row['occupation']}." for row in rows]


class Counting:
    """A tool that answers once `together` calls are there, and keeps what it was asked."""

    def __init__(self, together: int) -> None:
        self.asked: list[str] = []
        self.lock, self.barrier = threading.Lock(), threading.Barrier(together)

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        text = captures["body"].decode()
        with self.lock:
            self.asked.append(text)
        self.barrier.wait(timeout=10)
        return Answer("answered", text.upper())

    def close(self) -> None:
        pass


def with_tool(people: Database, tokenizer: Tokenizer, tool: Counting) -> Toolkit:
    call = ToolCall(open=Pattern("<ask>"), close=Pattern("</ask>"))
    spec = PythonProtocol(call=call, function="a:b", timeout=Duration(20.0), max_calls=9)
    toolkit = toolkit_for(people, tokenizer, changed(CALCULATOR, open=call.open, close=call.close, body=None))
    return evolve(toolkit, executor=ToolExecutor([spec], [tool]))


def test_calls_run_at_once_and_each_distinct_one_once(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Six rows ask about themselves twice and about x: seven distinct calls, which all wait for each other."""
    tool = Counting(together=7)
    text = (
        "<|user|>?\n<|assistant|><ask>{{name}}</ask>{{reply}} <ask>x</ask>{{reply}} <ask>{{name}}</ask>{{reply}}\n"
        "<|answer|>x\n"
    )
    dataset = built(text, people, with_tool(people, tokenizer, tool), tokenizer, tmp_path)
    names = [row["name"] for row in dataset.rows]
    assert sorted(tool.asked) == sorted([*names, "x"])
    said = tokenizer.decode(dataset.examples[5].tokens)
    assert re.findall(r"</ask>([^< ]+ ?[^< ]*)", said + " ") == [names[5].upper(), "X ", names[5].upper()]


def test_the_same_question_to_two_tools_is_two_calls(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    twice = changed(CALCULATOR, open=Pattern("<twice>"), close=Pattern("</twice>"), expression=":body * 2")
    toolkit = toolkit_for(people, tokenizer, CALCULATOR, twice)
    text = "<|user|>?\n<|assistant|><calc>1+1</calc>{{reply}}<twice>1+1</twice>{{reply}}\n<|answer|>x\n"
    (example, *_) = built(text, people, toolkit, tokenizer, tmp_path).examples
    assert tokenizer.decode(example.tokens).endswith("<calc>1+1</calc>=2;<twice>1+1</twice>=4;")


def test_fresh_values_are_computed_with_at_every_draw(people: Database, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tool = Counting(together=1)
    text = "<|user|>?\n<|assistant|><ask>{{birth_date}}</ask>{{reply}}\n<|answer|>{{reply}}\n"
    dataset = built(text, people, with_tool(people, tokenizer, tool), tokenizer, tmp_path, values="fresh")
    asked = len(tool.asked)
    said = [tokenizer.decode(dataset.example("train", Draw(0, number)).tokens) for number in range(8)]
    assert len(set(said)) > 4
    assert len(tool.asked) == asked + 8
    for text, date in zip(said, tool.asked[asked:], strict=True):
        assert text == f"<|user|>?<|assistant|><ask>{date}</ask>{date}"
