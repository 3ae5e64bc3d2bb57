"""The rows of a running batch: each is what it is alone, and remembers what its penalties need."""

import itertools
import math

import pytest
import torch
from support.sampling import number_of

from lmc.runtime.generation.sampling import Samplers, Sampling

CPU = torch.device("cpu")
MIXED = [
    Sampling(t, k, p, min_p=m, repetition=r, seed=seed, bias=((1, 0.5),) * (seed % 3 == 0), presence=seed % 2)
    for seed, (t, k, p, m, r) in enumerate(
        itertools.product([0.0, 0.7, 1.0], [None, 2, 40], [None, 0.9], [None, 0.05], [1.0, 1.3])
    )
]


@pytest.mark.parametrize("num_ids", [3, 260, 5000, 49_152])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_row_is_what_it_is_alone(num_ids: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (torch.randn(len(MIXED), num_ids, generator=generator) * 4).round(decimals=1).to(dtype)
    together = Samplers(len(MIXED), num_ids, CPU)
    for row, sampling in enumerate(MIXED):
        together.put(row, sampling, [0, 2])
    said: list[list[int]] = []
    for step in range(4):
        tokens = together.sample(together.adjust(logits), torch.full((len(MIXED),), 2 + step))
        together.heard(tokens, torch.ones(len(MIXED), dtype=torch.bool))
        said.append(tokens.tolist())
    for row, sampling in enumerate(MIXED):
        alone = Samplers(1, num_ids, CPU)
        alone.put(0, sampling, [0, 2])
        for step in range(4):
            token = alone.sample(alone.adjust(logits[row : row + 1]), torch.tensor([2 + step]))
            assert token.tolist() == [said[step][row]], sampling
            alone.heard(token, torch.tensor([True]))


def test_neutral_rows_keep_every_bit() -> None:
    samplers = Samplers(2, 5, CPU)
    logits = torch.tensor([[0.0, -0.0, 1e-40, -torch.inf, 3e38]]).repeat(2, 1)
    assert samplers.adjust(logits) is logits
    samplers.put(0, Sampling(1.0, 3, 0.5, min_p=0.1), [1])
    assert samplers.adjust(logits) is logits
    samplers.put(1, Sampling(repetition=2.0, presence=1.0, bias=((0, 1.0),), banned=(4,)), [2])
    samplers.heard(torch.tensor([0, 1]), torch.tensor([True, True]))
    adjusted = samplers.adjust(logits)
    assert adjusted[0].view(torch.int32).tolist() == logits[0].view(torch.int32).tolist()
    assert adjusted[1].tolist() != logits[1].tolist()


def test_penalties_by_hand() -> None:
    samplers = Samplers(1, 6, CPU)
    sampling = Sampling(repetition=2.0, presence=0.5, frequency=0.25, bias=((1, 3.0), (5, -2.0)), banned=(4,))
    samplers.put(0, sampling, [0, 1])
    samplers.seen(0, [2])
    samplers.heard(torch.tensor([3]), torch.tensor([True]))
    samplers.heard(torch.tensor([3]), torch.tensor([True]))
    for token in (5, 0):
        samplers.heard(torch.tensor([token]), torch.tensor([False]))
    adjusted = samplers.adjust(torch.tensor([[4.0, -1.0, -3.0, 1.0, 9.0, 1.0]]))
    # halved; (-1 + 3) / 2; doubled; 1 / 2 - 0.5 - 2 x 0.25; banned; 1 - 2, said by nobody
    assert adjusted.tolist() == [[2.0, 1.0, -6.0, -0.5, -math.inf, -1.0]]


def test_rows_are_taken_moved_and_forget() -> None:
    logits = torch.ones(3, 4)
    samplers = Samplers(3, 4, CPU)
    samplers.put(2, Sampling(1.0, repetition=2.0, frequency=1.0, banned=(3,), seed=7), [1])
    samplers.heard(torch.tensor([0, 0, 2]), torch.tensor([True, True, True]))
    samplers.move(2, 0)
    samplers.put(2, Sampling(1.0, repetition=4.0), [0])
    adjusted = samplers.adjust(logits)
    assert adjusted.tolist() == [[1.0, 0.5, -0.5, -math.inf], [1.0] * 4, [0.25, 1.0, 1.0, 1.0]]
    assert samplers.adjust(logits[:1]).tolist() == adjusted[:1].tolist()
    samplers.heard(torch.tensor([0]), torch.tensor([True]))
    assert samplers.adjust(logits).tolist()[0] == [-0.5, 0.5, -0.5, -math.inf]
    assert samplers.adjust(logits).tolist()[1:] == adjusted.tolist()[1:]
    samplers.put(0, Sampling(), [])
    samplers.put(2, Sampling(), [])
    assert samplers.adjust(logits) is logits


def test_a_position_has_one_number_wherever_the_prompt_ended() -> None:
    logits = torch.zeros(1, 1000)
    samplers = Samplers(1, 1000, CPU)
    for prompt in ([1], [1, 2, 3]):
        samplers.put(0, Sampling(1.0, seed=-5), prompt)
        found = [int(samplers.sample(logits, torch.tensor([length]))) for length in range(20)]
        assert found == [int(number_of(-5, length) * 1000) for length in range(20)]


def test_extreme_temperatures_and_lonely_tokens_are_finite() -> None:
    samplers = Samplers(1, 3, CPU)
    for sampling in (Sampling(1e-99), Sampling(1e-38), Sampling(1e-3, top_p=0.5), Sampling(1e6, 1)):
        samplers.put(0, sampling, [])
        assert samplers.sample(torch.tensor([[50.0, 51.0, -torch.inf]]), torch.tensor([0])).tolist() == [1]
    samplers.put(0, Sampling(1e99), [])
    logits = torch.tensor([[50.0, 51.0, -torch.inf]])
    assert {int(samplers.sample(logits, torch.tensor([step]))) for step in range(50)} == {0, 1}


@pytest.mark.parametrize("sampling", [Sampling(bias=((6, 1.0),)), Sampling(banned=(-1,))])
def test_ids_that_a_model_lacks_are_refused(sampling: Sampling) -> None:
    with pytest.raises(ValueError, match="token ids below 6"):
        Samplers(1, 6, CPU).put(0, sampling, [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_device_and_rows_are_what_they_are_alone() -> None:
    device = torch.device("cuda")
    logits = torch.randn(len(MIXED), 5000, generator=torch.Generator().manual_seed(0)).mul_(3).to(device)
    together, lengths = Samplers(len(MIXED), 5000, device), torch.full((len(MIXED),), 5, device=device)
    active = torch.ones(len(MIXED), dtype=torch.bool, device=device)
    for row, sampling in enumerate(MIXED):
        together.put(row, sampling, [0, 4])
    torch.cuda.set_sync_debug_mode("error")
    try:
        tokens = together.sample(together.adjust(logits), lengths)
        together.heard(tokens, active)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for row, sampling in enumerate(MIXED):
        alone = Samplers(1, 5000, device)
        alone.put(0, sampling, [0, 4])
        assert alone.sample(alone.adjust(logits[row : row + 1]), lengths[:1]).tolist() == [int(tokens[row])]
