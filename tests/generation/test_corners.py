"""Corners of the loop: hosts that hear late, tokens that are cut, stops and bans where calls are."""

import random

import pytest
import torch
from attrs import evolve
from support.generation import CALCULATOR, bpe, changed, said, scripted, toolkit_for
from torch import Tensor

from lmc.runtime.generation import loop, prefill, rows
from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.prefix_tree import PrefixTree
from lmc.runtime.generation.requests import Finished, Request, Said
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.talk.words import Words
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer
from lmc.spec.units import Pattern

SPECIALS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")
SUM = changed(CALCULATOR, open=Pattern("a"), body=Pattern("[0-9]{1,3}", True), close=Pattern("b"), max_calls=3)
MIXERS = [Attention(heads=2, kv_heads=1), GatedRecurrence()]


class LateBell:
    """A bell that rings two steps late, as on a GPU."""

    lag = 2

    def __init__(self, device: torch.device) -> None:
        self.waiting: list[bool] = []

    def ring(self, flags: Tensor) -> bool:
        self.waiting.append(bool(flags.any()))
        return any(self.waiting.pop(0) for _ in range(max(0, len(self.waiting) - self.lag)))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps in tensors alone, and a host that hears of them late."""
    monkeypatch.setattr(loop, "Bell", LateBell)
    begin = rows.Rows.__init__

    def elsewhere(self: rows.Rows, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        self.on_host, self.length, self.going = False, self.length.copy(), self.going.copy()

    monkeypatch.setattr(rows.Rows, "__init__", elsewhere)


def model_of(placement: Placement, mixer: Attention | GatedRecurrence, vocab: int = 260) -> TransformerModel:
    return build_model(Transformer(vocab=vocab, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=32)), placement, 1)


def requests_of(count: int, tokenizer: Tokenizer) -> list[Request]:
    rng = random.Random(5)
    letters = tuple((token, 7.0) for token in tokenizer.encode_bytes(b"ab123"))
    return [
        Request(
            tuple(rng.randrange(97, 110) for _ in range(rng.randint(1, 9))),
            rng.randint(1, 50),
            Sampling(1.0, bias=letters, repetition=1.1, seed=number),
            stop=("12", "zz") if number % 3 == 0 else (),
            logprobs=number % 2 == 0,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("mixer", MIXERS, ids=["attention", "recurrence"])
@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_a_host_that_hears_late_changes_nothing(
    kind: str,
    mixer: Attention | GatedRecurrence,
    exact: Placement,
    tokenizer: Tokenizer,
    request: pytest.FixtureRequest,
) -> None:
    used = tokenizer if kind == "bytes" else bpe(["1b", "2b1", "a1"], SPECIALS)
    model, requests = model_of(exact, mixer, used.vocab_size), requests_of(24, used)
    toolkit = toolkit_for(None, used, SUM)
    want = [evolve(t, logprobs=()) for t in Engine(model, used, toolkit, 6).run(requests)]
    assert sum(len(t.calls) for t in want) > 20
    request.getfixturevalue("late")
    found = [evolve(t, logprobs=()) for t in Engine(model, used, toolkit, 6).run(requests)]
    assert found == want


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("mixer", MIXERS, ids=["attention", "recurrence"])
def test_a_late_host_stays_within_the_cache(mixer: Attention | GatedRecurrence, exact: Placement) -> None:
    tokenizer = bpe([], SPECIALS)
    (transcript,) = Engine(model_of(exact, mixer), tokenizer).run([Request((97,), 255, Sampling(banned=(259,)))])
    assert len(transcript.tokens) <= 256


def test_prompts_longer_than_a_turn_are_shared_whole(exact: Placement, tokenizer: Tokenizer) -> None:
    model, rng = model_of(exact, MIXERS[0]), random.Random(0)
    shared = [tuple(rng.randrange(97, 120) for _ in range(20)) for _ in range(9)]
    requests = [Request((*prefix, 97 + ending), 3) for prefix in shared for ending in (0, 1)]
    want = Engine(model, tokenizer).run(requests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefill, "TURN_TOKENS", 30)
        patch.setattr(prefill, "PACK_TOKENS", 16)
        engine = Engine(model, tokenizer, tree=PrefixTree())
        assert engine.run(requests, share=True) == want
    prompts = [request.prompt for request in requests]
    assert engine.stats.prefilled == len({prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)})


def test_a_stop_string_inside_a_told_token_is_not_shown(exact: Placement) -> None:
    tokenizer = bpe(["ab", "cd"], SPECIALS)
    vocabulary = {text: number for number, text in enumerate(tokenizer.vocabulary()) if text}
    says = [vocabulary[b"ab"], vocabulary[b"cd"]]
    model = build_model(
        Transformer(vocab=tokenizer.vocab_size, layers=1, width=8, mixer=MIXERS[0], mlp=SwiGLU(hidden=8)), exact, 1
    )
    asked = iter([*says, says[0]])
    model.head_site.register_forward_hook(lambda module, given, output: one_hot(output, next(asked)))
    words, shown = Words(tokenizer.decode_bytes, ("bc",)), ""
    for happening in Engine(model, tokenizer).stream([Request((97,), 9, stop=("bc",))]):
        if isinstance(happening, Said | Finished):
            shown += words.given((97,)) if not shown else ""
            shown += words.heard(happening)
    assert shown == "aa"


def one_hot(logits: Tensor, token: int) -> Tensor:
    chosen = torch.zeros_like(logits)
    chosen[..., token] = 1.0
    return chosen


def test_what_is_cut_off_a_token_was_not_said(exact: Placement) -> None:
    """Going on behind a reply equals beginning there, with penalties of the tokens that stayed."""
    tokenizer = bpe(["3b!"], SPECIALS)
    toolkit = toolkit_for(None, tokenizer, SUM)
    letters = tuple((token, 9.0) for token in [*tokenizer.encode_bytes(b"a12"), *tokenizer.encode("3b!")])
    model, compared = model_of(exact, MIXERS[0], tokenizer.vocab_size), 0
    for seed in range(40):
        sampling = Sampling(1.0, repetition=3.0, bias=letters, seed=seed)
        (one,) = Engine(model, tokenizer, toolkit).run([Request((98, 99), 40, sampling)])
        if not one.injected or len(one.calls) > 1:
            continue
        end = one.injected[0][1]
        (two,) = Engine(model, tokenizer, toolkit).run([Request(one.tokens[:end], 42 - end, sampling)])
        if len(two.calls) <= 1:
            compared += 1
            assert two.tokens == one.tokens or two.calls
    assert compared > 3


@pytest.mark.parametrize("words", [[], ["a12b"], ["12b!"]])
def test_the_text_that_is_complete_first_ends_or_calls_whatever_the_tokens(words: list[str]) -> None:
    tokenizer = bpe(words, SPECIALS)
    toolkit = toolkit_for(None, tokenizer, SUM)
    stopped = scripted(tokenizer, toolkit, "xa12b!<|eod|>", stop=("12",))
    assert (stopped.stop, said(tokenizer, stopped), stopped.calls) == ("string", "xa", ())
    called = scripted(tokenizer, toolkit, "xa12b!<|eod|>", stop=("b!", "!"))
    assert said(tokenizer, called).startswith("xa12b=12;")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_ban_yields_where_a_call_has_no_other_token(
    temperature: float, exact: Placement, tokenizer: Tokenizer
) -> None:
    toolkit = toolkit_for(None, tokenizer, changed(SUM, constrain="inside"))
    sampling = Sampling(temperature, bias=((97, 99.0),), banned=tuple(b"0123456789"), seed=1)
    (transcript,) = Engine(model_of(exact, MIXERS[0]), tokenizer, toolkit).run([Request((98,), 12, sampling)])
    text = said(tokenizer, transcript)
    assert text[0] == "a"
    assert text[1].isdigit()
    assert transcript.calls
