"""Sampling: the distribution that filters and penalties leave, and their order."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.sampling import assert_follows, distribution, number_of

from lmc.runtime.generation.draw import uniform
from lmc.runtime.generation.sampling import Samplers, Sampling
from lmc.runtime.generation.settings import sampling_of
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.diagnostic import LmcError
from lmc.spec.sample import Bias, Sample

CPU = torch.device("cpu")
NUM_IDS = 13
LOGITS = np.random.default_rng(0).permutation(np.linspace(-1, 2, NUM_IDS)).astype(np.float32)
PROMPT, INJECTED, GENERATED = (0, 4, 4, 7), (9,), (2, 2, 2, 7, 11)


def draws(sampling: Sampling, logits: np.ndarray = LOGITS, rows: int = 64, steps: int = 300) -> np.ndarray:
    """Counts of tokens for many seeds and positions, all with the same past."""
    samplers = Samplers(rows, len(logits), CPU)
    for row in range(rows):
        samplers.put(row, evolve(sampling, seed=row), PROMPT)
        samplers.seen(row, INJECTED)
    for token in GENERATED:
        samplers.heard(torch.full((rows,), token), torch.ones(rows, dtype=torch.bool))
    adjusted = samplers.adjust(torch.from_numpy(logits).expand(rows, -1))
    lengths = torch.full((rows,), len(PROMPT))
    found = [samplers.sample(adjusted, lengths + step) for step in range(steps)]
    return np.bincount(torch.cat(found).numpy(), minlength=len(logits))


CASES = [
    Sampling(),
    Sampling(1.0),
    Sampling(0.5),
    Sampling(1.3, top_k=4),
    Sampling(1.0, top_k=1),
    Sampling(1.0, top_p=0.6),
    Sampling(1.0, top_p=1e-9),
    Sampling(1.0, min_p=0.3),
    Sampling(0.8, 8, 0.7),
    Sampling(3.0, 6, 0.8),
    Sampling(0.8, 8, 0.9, min_p=0.4),
    Sampling(1.0, repetition=1.7),
    Sampling(1.0, repetition=0.6),
    Sampling(1.0, presence=0.8),
    Sampling(1.0, frequency=0.5),
    Sampling(1.0, frequency=-0.4, presence=-0.3),
    Sampling(1.0, bias=((3, 1.5), (5, -2.0))),
    Sampling(1.0, banned=(1, 12)),
    Sampling(bias=((3, 9.0),), banned=(2,)),
    Sampling(0.9, 10, 0.85, min_p=0.1, repetition=1.4, presence=0.3, frequency=0.2, bias=((6, 1.0),), banned=(8,)),
]


@pytest.mark.parametrize(("rows", "steps"), [(64, 300), (1, 4000)])
@pytest.mark.parametrize("sampling", CASES, ids=str)
def test_samples_follow_the_distribution_of_their_settings(sampling: Sampling, rows: int, steps: int) -> None:
    want = distribution(sampling, LOGITS.tolist(), PROMPT + INJECTED, GENERATED)
    assert want is not None
    assert_follows(draws(sampling, LOGITS, rows, steps), want)


floats = st.floats(-6, 6, width=16)
ids = st.integers(0, 11)
SETTINGS = st.builds(
    Sampling,
    st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0.05, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    repetition=st.floats(0.5, 2.0),
    presence=st.floats(-1, 1),
    frequency=st.floats(-1, 1),
    bias=st.dictionaries(ids, st.floats(-3, 3), max_size=3).map(lambda found: tuple(found.items())),
    banned=st.sets(ids, max_size=3).map(tuple),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@settings(max_examples=300, deadline=None)
@given(
    SETTINGS,
    st.lists(floats, min_size=12, max_size=12),
    st.lists(ids, max_size=4),
    st.lists(ids, max_size=4),
    st.lists(ids, max_size=4),
)
def test_a_token_is_where_the_cumulative_distribution_passes_the_number(
    sampling: Sampling, logits: list[float], prompt: list[int], injected: list[int], generated: list[int]
) -> None:
    samplers = Samplers(2, 12, CPU)
    samplers.put(1, sampling, prompt)
    samplers.seen(1, injected)
    for token in generated:
        samplers.heard(torch.tensor([0, token]), torch.tensor([True, True]))
    adjusted = samplers.adjust(torch.tensor([logits, logits], dtype=torch.float64))
    length = len(prompt) + len(injected) + len(generated)
    token = int(samplers.sample(adjusted, torch.tensor([length, length]))[1])
    want = distribution(sampling, logits, prompt + injected, generated, margin=1e-5)
    assume(want is not None)
    assert want is not None
    ends = np.cumsum(want)
    number = number_of(sampling.seed, length)
    assume(sampling.temperature == 0 or np.abs(ends[:-1] - number).min() > 1e-5)
    unclear = (
        sampling.temperature == 0 and Counter(np.round(adjusted[1].numpy(), 5))[round(float(adjusted.max()), 5)] > 1
    )
    assume(not unclear)
    assert token == int((ends <= number).sum() if sampling.temperature else np.argmax(want))


def test_equally_likely_tokens_stay_by_id() -> None:
    logits = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.0], dtype=np.float32)
    assert set(np.flatnonzero(draws(Sampling(1.0, top_k=4), logits))) == {0, 1, 2, 3}
    assert set(np.flatnonzero(draws(Sampling(1.0, top_k=1), logits))) == {1}
    flat = np.zeros(16, dtype=np.float32)
    assert set(np.flatnonzero(draws(Sampling(1.0, top_p=0.5), flat))) == set(range(8))
    assert set(np.flatnonzero(draws(Sampling(1.0, top_p=0.5 + 2**-20), flat))) == set(range(9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "temperature is at least 0"),
        ({"temperature": math.inf}, "finite"),
        ({"top_k": 0}, "top_k is at least 1"),
        ({"top_p": 0.0}, "top_p is above 0"),
        ({"top_p": 1.01}, "at most 1"),
        ({"min_p": -0.1}, "min_p is between 0 and 1"),
        ({"min_p": 1.1}, "min_p is between 0 and 1"),
        ({"repetition": 0.0}, "repetition is above 0"),
        ({"presence": math.nan}, "finite"),
        ({"bias": ((1, math.inf),)}, "finite"),
        ({"bias": ((1, 1.0), (1, 2.0))}, "twice"),
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**arguments)


def test_uniform_numbers_are_even_and_those_of_splitmix64() -> None:
    seeds, positions = torch.arange(100).repeat_interleave(100), torch.arange(100).repeat(100)
    values = uniform(seeds, positions)
    assert len(values.unique()) == 10_000
    counts = np.histogram(values.numpy(), bins=20, range=(0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # 19 degrees of freedom, p = 0.001
    assert values.tolist()[703] == number_of(7, 3)
    assert uniform(torch.tensor([-9]), torch.tensor([12])).tolist() == [number_of(-9, 12)]


@pytest.mark.transformers
@pytest.mark.parametrize("sampling", [case for case in CASES if case.temperature and not case.frequency])
def test_the_same_distribution_as_in_transformers(sampling: Sampling) -> None:
    process = pytest.importorskip("transformers.generation.logits_process")
    processors = process.LogitsProcessorList()
    if sampling.bias:
        processors.append(process.SequenceBiasLogitsProcessor([[[token], number] for token, number in sampling.bias]))
    processors.append(process.RepetitionPenaltyLogitsProcessor(sampling.repetition))
    if sampling.banned:
        processors.append(process.SuppressTokensLogitsProcessor(list(sampling.banned)))
    processors.append(process.TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(process.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p:
        processors.append(process.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(process.MinPLogitsWarper(sampling.min_p))
    past = torch.tensor([PROMPT + INJECTED + GENERATED])
    want = processors(past, torch.from_numpy(LOGITS)[None].clone()).double().softmax(dim=-1)[0]
    counts = draws(evolve(sampling, presence=0.0))
    assert set(np.flatnonzero(counts)) == set(want.nonzero()[:, 0].tolist())
    assert_follows(counts, want.tolist())


def test_texts_of_a_spec_become_token_ids(tokenizer: Tokenizer) -> None:
    spec = Sample(
        temperature=0.5,
        top_k=3,
        top_p=0.9,
        min_p=0.1,
        repetition=1.1,
        presence=0.2,
        frequency=0.3,
        biases={"end": Bias(token="<|eod|>", add=2.0), "line": Bias(token="\n", add=-1.0)},
        banned=("<|user|>", "x"),
    )
    assert sampling_of(spec, tokenizer, 4) == Sampling(
        0.5,
        3,
        0.9,
        min_p=0.1,
        repetition=1.1,
        presence=0.2,
        frequency=0.3,
        bias=((259, 2.0), (10, -1.0)),
        banned=(256, 120),
        seed=4,
    )


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (Sample(banned=("ab",)), "LM0303", '"ab" is 2 tokens'),
        (Sample(banned=("",)), "LM0303", '"" is 0 tokens'),
        (Sample(banned=("<|nobody|>",)), "LM0609", "no special token"),
        (Sample(biases={"a": Bias(token="a", add=1.0), "b": Bias(token="a", add=1.0)}), "LM0303", 'the token "a"'),
    ],
)
def test_texts_that_are_no_token_are_told_so(spec: Sample, code: str, message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(LmcError, match=message) as caught:
        sampling_of(spec, tokenizer)
    assert caught.value.diagnostic.code == code
