"""The loop: rows that start, call, wait, fork and end at different times change nothing for each other."""

import random
import threading
import time
from collections.abc import Mapping, Sequence

import pytest
import torch
from attrs import evolve
from support.generation import CALCULATOR, bpe, changed, said, scripted, source_of, toolkit_for
from support.protocols import compiled

from lmc.runtime.generation import prefill
from lmc.runtime.generation.engine import Engine, Stats
from lmc.runtime.generation.prefix_tree import PrefixTree
from lmc.runtime.generation.requests import Called, Finished, Replied, Request, Said, Transcript
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.generation.toolkit import Toolkit, build_toolkit
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tools.base import Answer
from lmc.runtime.tools.executor import ToolExecutor
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer
from lmc.spec.protocol import CalculatorProtocol
from lmc.spec.units import Pattern

MIXERS = [Attention(heads=2, kv_heads=1), GatedRecurrence()]
SUM: CalculatorProtocol = changed(
    CALCULATOR,
    open=Pattern("a"),
    body=Pattern("[0-9]{1,3}", True),
    close=Pattern("b"),
    constrain="inside",
    max_calls=3,
)
LETTERS = tuple((ord(letter), 6.0) for letter in "abc123")


class Slow:
    """Answers with what it was asked after a while; what it was asked decides how long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        time.sleep(self.seconds * (sum(captures["body"]) % 4))
        return Answer("answered", f"<{captures['body'].decode()}>")

    def close(self) -> None:
        pass


def model_of(placement: Placement, mixer: Attention | GatedRecurrence = MIXERS[0]) -> TransformerModel:
    spec = Transformer(vocab=260, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=32))
    return build_model(spec, placement, 1)


def kit(tokenizer: Tokenizer, tool: object, spec: CalculatorProtocol = SUM) -> Toolkit:
    automata = compiled(source_of(spec, "sum"), specials=list(tokenizer.specials))
    return build_toolkit(automata, tokenizer, ToolExecutor([spec], [tool]))  # type: ignore[list-item]


def requests_of(count: int, seed: int = 0) -> list[Request]:
    rng = random.Random(seed)
    return [
        Request(
            tuple(rng.randrange(97, 120) for _ in range(rng.randint(1, 20))),
            rng.randint(1, 60),
            Sampling(1.0, rng.choice([None, 20]), bias=LETTERS, seed=number),
            logprobs=True,
        )
        for number in range(count)
    ]


def plain(transcript: Transcript) -> Transcript:
    """A transcript with log-probabilities to four places."""
    return evolve(transcript, logprobs=tuple(v if v is None else round(v, 4) for v in transcript.logprobs))


@pytest.mark.parametrize("mixer", MIXERS, ids=["attention", "recurrence"])
def test_rows_that_start_call_wait_and_end_at_different_times(
    mixer: Attention | GatedRecurrence, exact: Placement, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, requests = model_of(exact, mixer), requests_of(20)
    alone = [Engine(model, tokenizer, kit(tokenizer, Slow(0.0))).run([request])[0] for request in requests]
    assert sum(len(transcript.calls) for transcript in alone) > 20
    for lanes, seconds in ((1, 0.0), (3, 0.002), (7, 0.004), (64, 0.002)):
        together = Engine(model, tokenizer, kit(tokenizer, Slow(seconds)), lanes).run(requests)
        assert list(map(plain, together)) == list(map(plain, alone))
    monkeypatch.setattr(prefill, "PACK_TOKENS", 5)
    monkeypatch.setattr(prefill, "TURN_TOKENS", 7)
    chunked = Engine(model, tokenizer, kit(tokenizer, Slow(0.002)), 6).run(requests)
    assert list(map(plain, chunked)) == list(map(plain, alone))


def test_an_engine_used_again_says_the_same(exact: Placement, tokenizer: Tokenizer) -> None:
    engine = Engine(model_of(exact), tokenizer, kit(tokenizer, Slow(0.0)), 5)
    first = list(map(plain, engine.run(requests_of(9))))
    engine.run(requests_of(6, seed=3))
    assert list(map(plain, engine.run(requests_of(9)))) == first


def test_a_row_that_waits_for_its_tool_holds_nobody(exact: Placement, tokenizer: Tokenizer) -> None:
    others_done = threading.Event()

    class Waits:
        def call(self, captures: Mapping[str, bytes]) -> Answer:
            return Answer("answered", "in time" if others_done.wait(20) else "late")

        def close(self) -> None:
            pass

    called = Request(tuple(b"x"), 60, Sampling(bias=((ord("a"), 1e6),)))
    others = [Request(tuple(b"y"), 50, Sampling(banned=tuple(b"a"))) for _ in range(3)]
    engine = Engine(model_of(exact), tokenizer, kit(tokenizer, Waits(), evolve(SUM, timeout=30.0)), 4)
    done = []
    for happening in engine.stream([called, *others]):
        if isinstance(happening, Finished):
            done.append(happening)
            if len(done) == 3:
                others_done.set()
    assert [happening.number for happening in done][-1] == 0
    assert "in time" in done[-1].transcript.calls[0].reply


@pytest.mark.parametrize("mixer", MIXERS, ids=["attention", "recurrence"])
def test_logprobs_are_those_of_a_fresh_pass(
    mixer: Attention | GatedRecurrence, exact: Placement, tokenizer: Tokenizer
) -> None:
    model = model_of(exact, mixer)
    for transcript in Engine(model, tokenizer, kit(tokenizer, Slow(0.0))).run(requests_of(8)):
        tokens, start = transcript.tokens, transcript.prompt
        with torch.inference_mode():
            logits = model(torch.tensor([tokens]), SequenceLayout.rows([len(tokens)]))[0].log_softmax(-1)
        injected = {at for begin, end in transcript.injected for at in range(begin, end)}
        assert len(transcript.logprobs) == len(tokens) - start
        for at, value in enumerate(transcript.logprobs, start):
            assert value is not None or at in injected or transcript.calls
            assert value is None or at not in injected
            if value is not None:
                assert value == pytest.approx(float(logits[at - 1, tokens[at]]), abs=1e-5)


def test_what_is_streamed_is_what_is_finished(exact: Placement, tokenizer: Tokenizer) -> None:
    engine, requests = Engine(model_of(exact), tokenizer, kit(tokenizer, Slow(0.001)), 4), requests_of(12)
    told: dict[int, list[int]] = {number: list(request.prompt) for number, request in enumerate(requests)}
    calls: dict[int, int] = dict.fromkeys(told, 0)
    turns = 0
    for happening in engine.stream(requests):
        if isinstance(happening, Said | Replied):
            turns += isinstance(happening, Said)
            told[happening.number] += happening.tokens
        elif isinstance(happening, Called):
            calls[happening.number] += 1
        else:
            assert tuple(told[happening.number][: len(happening.transcript.tokens)]) == happening.transcript.tokens
            assert calls[happening.number] == len(happening.transcript.calls)
            del told[happening.number]
    assert not told
    assert turns > 100


def test_events_tell_what_happened_where_and_when(exact: Placement, tokenizer: Tokenizer) -> None:
    engine = Engine(model_of(exact), tokenizer, kit(tokenizer, Slow(0.001)), 4)
    for transcript in engine.run(requests_of(12)):
        kinds = [event.kind for event in transcript.events]
        assert kinds[:2] == ["start", "first"]
        assert kinds[-1] == "end"
        assert kinds.count("reply") == len(transcript.calls)
        times = [event.seconds for event in transcript.events]
        assert times == sorted(times)
        replies = [event for event in transcript.events if event.kind == "reply"]
        assert [event.at for event in replies] == [call.at for call in transcript.calls]


def test_steps_compute_little_that_is_thrown_away(cpu: Placement, tokenizer: Tokenizer) -> None:
    engine = Engine(model_of(cpu), tokenizer, lanes=8)
    rng = random.Random(0)
    engine.run([Request((65,) * rng.randint(1, 30), rng.randint(5, 100)) for _ in range(60)])
    assert engine.stats.useful / engine.stats.slots > 0.97
    assert engine.stats.prefilled < 60 * 31


@pytest.mark.parametrize(
    ("says", "stop", "kept", "why"),
    [
        ("one two three<|eod|>", ("two",), "one ", "string"),
        ("one two three<|eod|>", ("three", "o t"), "one tw", "string"),
        ("one two<|eod|>", ("<|eod|>", "o<"), "one two<|eod|>", "end"),
        ("aaab", ("ab", "b"), "aa", "string"),
        ("Zoë!", ("ë",), "Zo", "string"),
    ],
)
def test_stop_strings_are_found_across_tokens(
    says: str, stop: tuple[str, ...], kept: str, why: str, tokenizer: Tokenizer
) -> None:
    for used in (tokenizer, bpe(["one t", "wo t", "two thr", "aaa", "o"], tuple(tokenizer.specials))):
        transcript = scripted(used, None, says, stop=stop)
        assert said(used, transcript) == kept
        assert transcript.stop == why


def test_a_stop_string_is_not_found_in_a_reply(tokenizer: Tokenizer) -> None:
    toolkit = toolkit_for(None, tokenizer, CALCULATOR)
    transcript = scripted(tokenizer, toolkit, "<calc>1+1</calc> is 3.<|eod|>", stop=("=2", "3"))
    assert said(tokenizer, transcript) == "<calc>1+1</calc>=2; is "
    assert transcript.stop == "string"


def test_what_cannot_be_continued_is_refused_and_the_others_are_unharmed(cpu: Placement, tokenizer: Tokenizer) -> None:
    engine = Engine(model_of(cpu), tokenizer, context=40)
    good = Request((65, 66), 10)
    bad = {
        "the prompt is empty": Request(()),
        "token 260 is not in": Request((65, 260)),
        "token -1 is not in": Request((-1,)),
        "the prompt has 40 tokens; the context of 40": Request((65,) * 40),
        "at most 63 distinct": Request((65,), stop=tuple(f"stop{number}" for number in range(70))),
    }
    (alone,) = engine.run([good])
    first, *refused, last = engine.run([good, *bad.values(), good])
    assert plain(first) == plain(last) == plain(alone)
    for message, transcript in zip(bad, refused, strict=True):
        assert transcript.stop == "refused"
        assert message in transcript.error
    (long,) = engine.run([Request((65,) * 30, 100)])
    assert len(long.tokens) == 40
    assert long.stop == "length"


def test_a_cache_that_does_not_fit_is_refused_before_it_is_built(cpu: Placement, tokenizer: Tokenizer) -> None:
    good = Request((65, 66), 10)
    first, huge = Engine(model_of(cpu), tokenizer).run([good, Request((65,), 10**12)])
    assert first.stop == "length"
    assert huge.stop == "refused"
    assert "GiB of cache" in huge.error


def test_lanes_are_as_many_as_fit(cpu: Placement, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmc.runtime.generation import engine as module

    model, requests = model_of(cpu), [Request((65, number), 20) for number in range(9)]
    want = Engine(model, tokenizer).run(requests)
    monkeypatch.setattr(module, "free_bytes", lambda device: 2 * model.cache_bytes(1, 22) + 1)
    engine = Engine(model, tokenizer)
    assert list(map(plain, engine.run(requests))) == list(map(plain, want))
    assert engine.decoder is not None
    assert engine.decoder.cache.rows == 2


class Breaks:
    """A tool that raises, hangs or answers with 100 MB, as it is asked."""

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        kind = captures["body"]
        if kind == b"1":
            raise RuntimeError("broken")
        if kind == b"2":
            time.sleep(6.0)
        return Answer("answered", "x" * (100 * 2**20 if kind == b"3" else 1))

    def close(self) -> None:
        pass


def test_a_tool_that_raises_hangs_or_floods_harms_no_other_row(exact: Placement, tokenizer: Tokenizer) -> None:
    spec = evolve(changed(SUM, body=Pattern("[0-9]", True)), timeout=1.5, max_bytes=10, max_calls=1)
    model = model_of(exact)
    kinds = [
        Request(
            tuple(b"q"), 40, Sampling(bias=((ord("a"), 1e6),), banned=tuple(d for d in b"0123456789" if d != digit))
        )
        for digit in b"1234"
    ]
    alone = [Engine(model, tokenizer, kit(tokenizer, Breaks(), spec)).run([request])[0] for request in kinds]
    began = time.monotonic()
    together = Engine(model, tokenizer, kit(tokenizer, Breaks(), spec)).run(kinds)
    assert time.monotonic() - began < 5.5
    assert list(map(plain, together)) == list(map(plain, alone))
    outcomes = [(t.calls[0].outcome, t.calls[0].detail) for t in together]
    assert outcomes[0] == ("error", "RuntimeError: broken")
    assert outcomes[1] == ("error", "no answer within 1.5 s")
    assert outcomes[2][0] == "answered"
    assert "104,857,600" in outcomes[2][1]
    assert together[2].calls[0].reply == "=" + "x" * 10 + ";"
    assert together[3].calls[0].reply == "=x;"


def tree_of_dialogues(rng: random.Random) -> list[tuple[int, ...]]:
    """Prompts of a tree: a common beginning, branches, some prompts that others go on from."""
    prompts = [tuple(rng.randrange(97, 120) for _ in range(30))]
    for _ in range(15):
        origin = rng.choice(prompts)
        cut = rng.randint(1, len(origin))
        prompts.append(origin[:cut] + tuple(rng.randrange(97, 120) for _ in range(rng.randint(0, 12))))
    return prompts


def edges(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens of the trie of the prompts."""
    return len({prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)})


@pytest.mark.parametrize("mixer", MIXERS, ids=["attention", "recurrence"])
@pytest.mark.parametrize("seed", range(3))
def test_a_tree_of_prompts_is_read_once(
    seed: int, mixer: Attention | GatedRecurrence, exact: Placement, tokenizer: Tokenizer
) -> None:
    model, prompts = model_of(exact, mixer), tree_of_dialogues(random.Random(seed))
    requests = [Request(prompt, 12, logprobs=True) for prompt in prompts]
    want = Engine(model, tokenizer).run(requests)
    for lanes in (3, 64):
        engine = Engine(model, tokenizer, lanes=lanes, tree=PrefixTree(None))
        assert list(map(plain, engine.run(requests, share=True))) == list(map(plain, want))
        assert engine.stats.prefilled == edges(prompts)
        engine.stats = Stats()
        engine.run([Request(prompts[0], 3)], share=True)
        assert engine.stats.prefilled <= len(prompts[0])
