"""Scores of continuations: batches, caches and pieces change nothing, and a shared prompt is read once."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmc.runtime.generation.score import score
from lmc.runtime.models.build import build_model
from lmc.runtime.models.cache import ModelCache
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer

MIXERS = {"grouped": Attention(heads=4, kv_heads=2), "full": Attention(heads=2), "recurrence": GatedRecurrence()}
VOCAB = 23
Pair = tuple[list[int], list[int]]


@pytest.fixture(params=MIXERS, scope="module")
def model(request: pytest.FixtureRequest) -> TransformerModel:
    spec = Transformer(vocab=VOCAB, layers=2, width=16, mixer=MIXERS[request.param], mlp=SwiGLU(hidden=24))
    return build_model(spec, Placement(torch.device("cpu"), torch.float64), 3)


def alone(model: TransformerModel, prompt: list[int], continuation: list[int]) -> list[float]:
    """The definition: one whole text through the model."""
    text = prompt + continuation
    with torch.no_grad():
        logits = model(torch.tensor([text]), SequenceLayout.rows([len(text)]))[0]
    table = torch.log_softmax(logits.double(), dim=-1)
    return [float(table[at - 1, text[at]]) for at in range(len(prompt), len(text))]


def assert_alone(model: TransformerModel, found: Sequence[Sequence[float]], pairs: Sequence[Pair]) -> None:
    assert len(found) == len(pairs)
    for own, (prompt, continuation) in zip(found, pairs, strict=True):
        assert list(own) == pytest.approx(alone(model, prompt, continuation), rel=0, abs=1e-10)


class Watched:
    """Scores, and what the model was given for them.

    Attributes:
        read: tokens int64[B, T] of every forward pass. heads: positions of every call of the head.
        caches: slots of every cache.
    """

    def __init__(self, model: TransformerModel, pairs: Sequence[Pair], budget: int = 8192) -> None:
        self.read: list[Tensor] = []
        self.heads: list[int] = []
        self.caches: list[int] = []
        new_cache = model.new_cache

        def made(rows: int, capacity: int) -> ModelCache:
            self.caches.append(rows * capacity)
            return new_cache(rows, capacity)

        handles = [
            model.embed.register_forward_hook(lambda module, given, result: self.read.append(given[0])),
            model.unembed.register_forward_hook(lambda module, given, result: self.heads.append(len(given[0]))),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "new_cache", made)
            self.scores = score(model, pairs, budget)
        for handle in handles:
            handle.remove()

    def count(self, token: int) -> int:
        return sum(int((tokens == token).sum()) for tokens in self.read)

    def slots(self) -> int:
        return sum(tokens.numel() for tokens in self.read)


TOKENS = st.integers(0, VOCAB - 1)
PROMPTS = st.lists(st.lists(TOKENS, min_size=1, max_size=12), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PROMPTS, st.data(), st.integers(1, 80))
def test_scores_are_those_of_one_whole_text_at_a_time_within_the_budget(
    model: TransformerModel, prompts: list[list[int]], data: st.DataObject, budget: int
) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(prompts), st.lists(TOKENS, max_size=6)), max_size=12))
    watched = Watched(model, pairs, budget)
    assert_alone(model, watched.scores, pairs)
    assert all(tokens.numel() <= budget for tokens in watched.read)
    longest = max((len(prompt) + len(continuation) for prompt, continuation in pairs), default=0)
    assert all(slots <= max(budget, longest) for slots in watched.caches)


def items(count: int, endings: int) -> list[Pair]:
    """Prompts of tokens 1 and 2, and endings of other tokens."""
    generator = torch.Generator().manual_seed(5)
    pairs = []
    for number in range(count):
        prompt = [1 + (number >> bit & 1) for bit in range(6)] * 2
        pairs += [(prompt, torch.randint(3, VOCAB, (5,), generator=generator).tolist()) for _ in range(endings)]
    return pairs


@pytest.mark.parametrize("budget", [8192, 100, 20, 7])
def test_a_prompt_that_pairs_share_is_read_once(model: TransformerModel, budget: int) -> None:
    pairs = items(6, 4)
    mixed = pairs[::2] + pairs[1::2]
    watched = Watched(model, mixed, budget)
    assert watched.count(1) + watched.count(2) == 6 * 12
    assert_alone(model, watched.scores, mixed)
    if budget == 8192:
        assert watched.slots() == 6 * 12 + 6 * 4 * 4
        assert len(watched.read) == 2


def test_prompts_of_their_own_take_one_pass_and_no_cache(model: TransformerModel) -> None:
    pairs = items(6, 1)
    watched = Watched(model, pairs)
    assert (len(watched.read), watched.slots(), watched.caches) == (1, 6 * (12 + 4), [])
    assert_alone(model, watched.scores, pairs)


def test_padding_is_bounded(model: TransformerModel) -> None:
    pairs = [([1] * length, [2]) for length in range(1, 65)]
    assert Watched(model, pairs).slots() <= 4 / 3 * sum(range(1, 65))


def test_the_head_sees_what_is_scored_and_never_more_than_its_share(
    model: TransformerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc.runtime.generation.score.MOST_LOGITS", 7 * VOCAB)
    pairs = items(3, 4)
    watched = Watched(model, pairs)
    assert max(watched.heads) == 7
    assert sum(watched.heads) == 3 * 4 * 5
    assert_alone(model, watched.scores, pairs)


def test_scores_are_the_same_again_and_those_of_equal_pairs_equal(model: TransformerModel) -> None:
    pairs = items(3, 3)
    found = score(model, pairs * 2, 60)
    assert found[:9] == found[9:] == score(model, pairs, 60)


def test_nothing_to_score_needs_no_model(model: TransformerModel) -> None:
    watched = Watched(model, [([1], []), ([2, 3], [])])
    assert watched.scores == [(), ()]
    assert watched.read == []
    assert score(model, []) == []


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([], [1]), "pair 1: a prompt needs at least one token"),
        (([1, VOCAB], [1]), "pair 1: token 23 is not among the model's 23 ids"),
        (([1], [2, -1]), "pair 1: token -1 is not among the model's 23 ids"),
        (([], []), "pair 1: a prompt"),
    ],
)
def test_a_pair_that_cannot_be_scored_is_named(model: TransformerModel, pair: Pair, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(model, [([1], [2]), pair])


def test_a_budget_has_a_slot(model: TransformerModel) -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        score(model, [([1], [2])], 0)
