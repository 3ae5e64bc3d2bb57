"""Tools in the loop: tokens that end a call inside them, constrained calls, forced runs, several protocols."""

import random
import re

import pytest
import torch
from attrs import evolve
from support.generation import ATTRIBUTES, CALCULATOR, FIND, LOOKUP, bpe, changed, said, scripted, toolkit_for
from support.protocols import Reader

from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.requests import Request
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.byte import Bytes
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.protocol import SqlProtocol
from lmc.spec.units import Pattern

SPECIALS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>", "<|call|>", "<|end|>")
WORDS = ["```sql\n", "FIND ", "occupation", " FOR ", "First", "Last", "\n```", "`\n\n", "\n``````sql\n", "birth", "1+2"]
CLOSES: SqlProtocol = changed(LOOKUP, handover=None, max_calls=5)
STRICT: SqlProtocol = changed(LOOKUP, constrain="inside", max_calls=3)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return bpe(WORDS, SPECIALS)


def tiny(tokenizer: Tokenizer, vocab: int | None = None) -> Transformer:
    mixer, mlp = Attention(heads=2, kv_heads=1), SwiGLU(hidden=16)
    return Transformer(vocab=vocab or tokenizer.vocab_size, layers=2, width=16, mixer=mixer, mlp=mlp)


def ids(tokenizer: Tokenizer, *texts: str) -> list[int]:
    """One token per text."""
    vocabulary = {text: number for number, text in enumerate(tokenizer.vocabulary()) if text}
    return [tokenizer.specials[t] if t in tokenizer.specials else vocabulary[t.encode()] for t in texts]


def test_a_close_inside_a_token_keeps_its_bytes_alone(people: Database, words: Tokenizer) -> None:
    row = people.tables["people"].rows(1)[0]
    first = words.encode(f"```sql\nFIND occupation FOR {row['name']}\n``")
    says = [*first, *ids(words, "`\n\n"), *words.encode("ok"), words.specials["<|eod|>"]]
    transcript = scripted(words, toolkit_for(people, words, CLOSES), says)
    assert said(words, transcript) == words.decode(first) + f"`{row['occupation']}<|assistant|>ok<|eod|>"
    kept = transcript.tokens[transcript.prompt :]
    assert kept[: len(first) + 1] == (*first, *ids(words, "`"))
    assert transcript.calls[0].captures == {"attribute": "occupation", "name": row["name"]}
    assert transcript.injected[0][0] == transcript.prompt + len(first) + 1


def test_a_token_that_closes_and_opens_gives_the_first_call(people: Database, words: Tokenizer) -> None:
    row = people.tables["people"].rows(1)[0]
    says = [*words.encode(f"x ```sql\nFIND occupation FOR {row['name']}"), *ids(words, "\n``````sql\n", "<|eod|>")]
    transcript = scripted(words, toolkit_for(people, words, CLOSES), says)
    assert transcript.calls[0].captures["name"] == row["name"]
    assert said(words, transcript).endswith(f"{row['name']}\n```{row['occupation']}<|assistant|><|eod|>")
    assert transcript.stop == "end"


def test_the_cache_goes_on_as_if_the_kept_tokens_had_been_said(exact: Placement) -> None:
    """The logits behind a token cut short equal those of a fresh run over the tokens of the transcript."""
    tokenizer = bpe(["</calc> then", "<calc>1+"], SPECIALS)
    toolkit = toolkit_for(None, tokenizer, changed(CALCULATOR, max_calls=2))
    model = build_model(tiny(tokenizer), exact, 1)
    says = ids(tokenizer, "<calc>1+", "2", "</calc> then")
    heard: list[torch.Tensor] = []
    head = TransformerModel.head

    def scripted_head(self: TransformerModel, hidden: torch.Tensor) -> torch.Tensor:
        logits = head(self, hidden)
        heard.append(logits.reshape(-1, logits.shape[-1])[-1].clone())
        if len(heard) <= len(says):
            logits = torch.zeros_like(logits)
            logits[..., says[len(heard) - 1]] = 1.0
        return logits

    prompt = tuple(tokenizer.encode("what is it "))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformerModel, "head", scripted_head)
        (transcript,) = Engine(model, tokenizer, toolkit).run([Request(prompt, 40)])
    after = transcript.injected[0][1]
    assert tokenizer.decode(transcript.tokens[:after]) == "what is it <calc>1+2</calc>=3;"
    with pytest.MonkeyPatch.context() as patch:
        heard.clear()
        says.clear()
        patch.setattr(TransformerModel, "head", scripted_head)
        Engine(model, tokenizer).run([Request(transcript.tokens[:after], 1)])
    fresh = heard[0]
    (again,) = Engine(model, tokenizer).run([Request(transcript.tokens[:after], len(transcript.tokens) - after)])
    assert again.tokens == transcript.tokens
    assert int(fresh.argmax()) == transcript.tokens[after]


class Opening(TransformerModel):
    """A real model with random weights that begins by saying what it is told."""

    says: list[int]
    heard = 0

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = super().head(hidden)
        if self.heard < len(self.says):
            logits = torch.zeros_like(logits)
            logits[..., self.says[self.heard]] = 1e9
        self.heard += 1
        return logits


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_constrained_calls_are_always_legal(kind: str, people: Database, words: Tokenizer) -> None:
    tokenizer = Bytes(SPECIALS) if kind == "bytes" else words
    toolkit = toolkit_for(people, tokenizer, changed(STRICT, body=Pattern(FIND.replace("64", "9"), True)))
    model = Opening(tiny(tokenizer))
    model.init_weights(1)
    model.says = tokenizer.encode("```sql\n")
    requests = [Request((65,), 160, Sampling(3.0, seed=seed)) for seed in range(24)]
    transcripts = Engine(model, tokenizer, toolkit).run(requests)
    calls = [transcript.calls[0] for transcript in transcripts]
    for call in calls:
        assert call.captures["attribute"] in ATTRIBUTES
        assert re.fullmatch(r"[^\n`]{1,9}", call.captures["name"])
    assert len({call.captures["attribute"] for call in calls}) > 1
    assert len({call.captures["name"] for call in calls}) > 12
    for transcript in transcripts:
        first = transcript.tokens[transcript.prompt : transcript.injected[0][0]]
        reader = Reader(toolkit.lifted)
        for token in first:
            assert reader.allowed()[token]
            reader.read([token])
        assert [kind for kind, _, _ in reader.events] == ["open", "close", "handover"]


def test_a_constrained_call_is_finished_whatever_the_model_prefers(people: Database, words: Tokenizer) -> None:
    """A model that only ever says "a" is led through a call; what must follow is said without asking it."""
    spec = changed(STRICT, allow={"attribute": ("occupation",)}, body=Pattern(FIND.replace("{1,64}", "{1,3}"), True))
    toolkit = toolkit_for(people, words, spec)
    transcript = scripted(words, toolkit, [*ids(words, "```sql\n"), *ids(words, *"a" * 50)], limit=60)
    text = said(words, transcript)
    assert text.startswith("```sql\nFIND occupation FOR aaa\n```<|database|>No result found<|assistant|>a")
    assert transcript.calls[0].captures == {"attribute": "occupation", "name": "aaa"}
    call = transcript.tokens[transcript.prompt : transcript.injected[0][0]]
    assert list(call[:4]) == ids(words, "```sql\n", "FIND ", "occupation", " FOR ")


def test_the_limit_holds_inside_a_forced_run(people: Database, words: Tokenizer) -> None:
    spec = changed(STRICT, allow={"attribute": ("occupation",)})
    for limit in (1, 2, 3):
        transcript = scripted(words, toolkit_for(people, words, spec), ids(words, "```sql\n", "a"), limit=limit)
        assert len(transcript.tokens) - transcript.prompt == limit
        assert transcript.stop == "length"


def test_the_limit_holds_where_a_token_is_cut() -> None:
    tokenizer = bpe(["</", "/>", "1/>"], SPECIALS)
    spec = changed(CALCULATOR, open=Pattern("<c>"), close=Pattern("/"), body=Pattern("[0-9]+", True))
    says = ids(tokenizer, "<", "c", ">", "1/>", "a", "b")
    for limit in range(1, 7):
        transcript = scripted(tokenizer, toolkit_for(None, tokenizer, spec), says, limit=limit)
        assert len(transcript.tokens) - transcript.prompt <= limit
        assert transcript.stop == "length"


def test_special_tokens_as_delimiters(people: Database, words: Tokenizer) -> None:
    spec = changed(LOOKUP, open=Pattern("<|call|>"), close=Pattern("<|end|>"), handover=None, match="special")
    row = people.tables["people"].rows(1)[0]
    call = f"<|call|>FIND occupation FOR {row['name']}<|end|>"
    transcript = scripted(words, toolkit_for(people, words, spec), call + "ok<|eod|>")
    assert said(words, transcript) == f"{call}{row['occupation']}<|assistant|>ok<|eod|>"
    spelled = [*words.encode(call), words.specials["<|eod|>"]]
    assert scripted(words, toolkit_for(people, words, spec), spelled).calls == ()


def test_a_hand_over_as_text_or_token(people: Database, words: Tokenizer) -> None:
    spec = changed(LOOKUP, match="both")
    row = people.tables["people"].rows(1)[0]
    call = f"```sql\nFIND occupation FOR {row['name']}\n```"
    for handover in (words.encode("<|database|>"), [words.specials["<|database|>"]]):
        says = [*words.encode(call), *handover, words.specials["<|eod|>"]]
        transcript = scripted(words, toolkit_for(people, words, spec), says)
        assert transcript.calls[0].outcome == "answered"
        assert said(words, transcript) == f"{call}<|database|>{row['occupation']}<|assistant|><|eod|>"


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_two_tools_in_one_dialogue(kind: str, people: Database, words: Tokenizer) -> None:
    tokenizer = Bytes(SPECIALS) if kind == "bytes" else words
    row = people.tables["people"].rows(1)[0]
    call = f"```sql\nFIND occupation FOR {row['name']}\n```<|database|>"
    says = f"<calc>1+2</calc>so {call}and <calc>7*(3-1)</calc><calc>1/0</calc>.<|eod|>"
    transcript = scripted(tokenizer, toolkit_for(people, tokenizer, LOOKUP, CALCULATOR), says)
    last = "and <calc>7*(3-1)</calc>=14;<calc>1/0</calc>=?;.<|eod|>"
    assert said(tokenizer, transcript) == f"<calc>1+2</calc>=3;so {call}{row['occupation']}<|assistant|>{last}"
    assert [(c.protocol, c.outcome) for c in transcript.calls] == [
        ("tool1", "answered"),
        ("lookup", "answered"),
        ("tool1", "answered"),
        ("tool1", "error"),
    ]


def test_lanes_and_batches_change_nothing_where_calls_are_constrained(
    people: Database, exact: Placement, words: Tokenizer
) -> None:
    toolkit = toolkit_for(people, words, STRICT, changed(CALCULATOR, constrain="inside"))
    model = build_model(tiny(words), exact, 3)
    rng = random.Random(0)
    starts = ["<|user|>x<|assistant|>", "<|user|>hello there<|assistant|>", "y"]
    requests = [
        Request(tuple(words.encode_marked(rng.choice(starts))), rng.randint(5, 60), Sampling(3.0, seed=number))
        for number in range(12)
    ]
    alone = [Engine(model, words, toolkit).run([request])[0] for request in requests]
    for lanes in (2, 5, 64):
        assert Engine(model, words, toolkit, lanes).run(requests) == alone


def test_ids_beyond_the_vocabulary_are_never_sampled_in_constrained_runs(people: Database, exact: Placement) -> None:
    tokenizer = Bytes(SPECIALS)
    toolkit = toolkit_for(people, tokenizer, STRICT)
    requests = [Request((65,), 40, Sampling(5.0, seed=seed)) for seed in range(8)]
    transcripts = Engine(build_model(tiny(tokenizer, 320), exact, 1), tokenizer, toolkit).run(requests)
    assert max(token for transcript in transcripts for token in transcript.tokens) < tokenizer.vocab_size


def test_what_a_tool_says_never_becomes_a_special_token(people: Database, words: Tokenizer) -> None:
    spec = changed(LOOKUP, reply=evolve(LOOKUP.reply, empty="<|eod|>"))
    says = "```sql\nFIND occupation FOR Nobody\n```<|database|>ok<|eod|>"
    transcript = scripted(words, toolkit_for(people, words, spec), says)
    start, end = transcript.injected[0]
    assert words.specials["<|eod|>"] not in transcript.tokens[start:end]
    assert words.decode(transcript.tokens[start:end]) == "<|eod|><|assistant|>"


class Few(Bytes):
    """A tokenizer that has no token for a backtick."""

    def __init__(self) -> None:
        super().__init__(SPECIALS)
        self._vocabulary[ord("`")] = None


def test_a_vocabulary_that_cannot_finish_a_call_is_refused(people: Database) -> None:
    assert toolkit_for(people, Few(), LOOKUP).forced is None
    with pytest.raises(LmcError, match="`lookup` can come to a place") as caught:
        toolkit_for(people, Few(), changed(STRICT, open=Pattern("sql\n")))
    assert caught.value.diagnostic.code == "LM0615"
    assert caught.value.place is not None
    assert caught.value.place[3] == FIND
    sums = changed(CALCULATOR, constrain="inside", close=Pattern("`"))
    with pytest.raises(LmcError, match="`tool1` can come to a place"):
        toolkit_for(people, Few(), changed(STRICT, open=Pattern("sql\n"), close=Pattern("\n!")), sums)
