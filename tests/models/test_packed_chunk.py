"""New tokens of several cache rows side by side in one row equal each row read alone."""

import random

import pytest
import torch

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, Nope, Rope, SwiGLU, Transformer

MIXERS = [Attention(heads=4, kv_heads=2), Attention(heads=2, kv_heads=2), GatedRecurrence()]


@pytest.mark.parametrize("mixer", MIXERS, ids=["grouped", "full", "recurrence"])
@pytest.mark.parametrize("positions", [Rope(), Nope()], ids=["rope", "nope"])
@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_any_rows_equal_an_uncached_pass(
    mixer: Attention | GatedRecurrence, positions: Rope | Nope, seed: int, exact: Placement
) -> None:
    spec = Transformer(vocab=37, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=24), positions=positions)
    model, rng = build_model(spec, exact, 3), random.Random(seed)
    cache, texts, seen = model.new_cache(5, 40), [[] for _ in range(5)], 0
    with torch.inference_mode():
        while seen < 12:
            seen += 1
            chosen = rng.sample(range(5), rng.randint(1, 5))
            new = [[rng.randrange(37) for _ in range(rng.randint(1, 3 if seen > 1 else 9))] for _ in chosen]
            layout = SequenceLayout.packed_chunk(
                [len(n) for n in new], [len(texts[row]) for row in chosen], torch.device("cpu")
            )
            rows = cache.select(torch.tensor(chosen))
            logits = model(torch.tensor([[token for tokens in new for token in tokens]]), layout, rows)[0].split(
                [len(n) for n in new]
            )
            for row, tokens, found in zip(chosen, new, logits, strict=True):
                texts[row] += tokens
                whole = model(torch.tensor([texts[row]]), SequenceLayout.rows([len(texts[row])]))[0]
                torch.testing.assert_close(found, whole[-len(tokens) :], rtol=0, atol=1e-12)
            assert cache.lengths.tolist() == [len(text) for text in texts]


def test_a_chunk_beyond_the_capacity_is_refused(exact: Placement) -> None:
    spec = Transformer(vocab=37, layers=1, width=8, mixer=Attention(heads=1, kv_heads=1), mlp=SwiGLU(hidden=8))
    model = build_model(spec, exact, 3)
    cache = model.new_cache(2, 4)
    layout = SequenceLayout.packed_chunk([5], [0], torch.device("cpu"))
    with pytest.raises(ValueError, match="4 positions"):
        model(torch.zeros(1, 5, dtype=torch.int64), layout, cache.select(torch.tensor([1])))
