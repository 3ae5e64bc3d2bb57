"""Caches: rows that are copied, cut, taken out and put back equal rows that were read again."""

import attrs
import pytest
import torch

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.pieces import ModelPiece
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, Rope, SwiGLU, Transformer

MIXERS = [Attention(heads=4, kv_heads=2), Attention(heads=2, kv_heads=2), GatedRecurrence()]
VOCAB = 37


def spec_of(mixer: Attention | GatedRecurrence) -> Transformer:
    return Transformer(vocab=VOCAB, layers=2, width=16, mixer=mixer, mlp=SwiGLU(hidden=24), positions=Rope())


def tokens_of(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCAB, shape, generator=torch.Generator().manual_seed(7))


@pytest.fixture(params=MIXERS, ids=["grouped", "full", "recurrence"])
def model(request: pytest.FixtureRequest, exact: Placement) -> TransformerModel:
    return build_model(spec_of(request.param), exact, 3)


def tensors_of(piece: ModelPiece) -> list[torch.Tensor]:
    fields = [field for part in piece.parts for field in attrs.astuple(part, recurse=False)]  # type: ignore[arg-type]
    return [field for field in fields if isinstance(field, torch.Tensor)]


def test_rows_that_are_not_active_stay_as_they_are_to_the_bit(model: TransformerModel) -> None:
    cache = model.new_cache(2, 10)
    model(tokens_of(2, 4), SequenceLayout.rows([4, 3], 4), cache)
    before = [cache.snapshot(1, 0, end) for end in (1, 2, 3)]
    model.step(torch.tensor([1, 2]), cache, torch.tensor([True, False]))
    model(tokens_of(2, 3), SequenceLayout.chunk(torch.tensor([3, 0]), cache.lengths, 3), cache)
    assert cache.lengths.tolist() == [8, 3]
    for then in before:
        now = cache.snapshot(1, 0, then.end)
        assert all(torch.equal(a, b) for a, b in zip(tensors_of(now), tensors_of(then), strict=True))


def test_truncating_forking_and_restoring_equal_a_replay(model: TransformerModel) -> None:
    x = tokens_of(1, 9)[0]
    whole = model(x[None], SequenceLayout.rows([9]))[0]
    cache = model.new_cache(3, 12)
    active = torch.tensor([True, False, False])
    for t in range(7):
        model.step(torch.stack((x[t], x[0], x[0])), cache, active)
    kept = cache.snapshot(0)
    cache.truncate(0, 5)
    cache.fork(0, 1)
    cache.restore(2, kept)
    logits = model.step(torch.stack((x[5], x[5], x[7])), cache, torch.tensor([True, True, True]))
    torch.testing.assert_close(logits, torch.stack((whole[5], whole[5], whole[7])), rtol=0, atol=1e-12)


def test_a_cache_refuses_what_it_cannot_hold(model: TransformerModel) -> None:
    cache = model.new_cache(1, 4)
    with pytest.raises(ValueError, match="4 positions"):
        model(tokens_of(1, 5), SequenceLayout.rows([5]), cache)
    with pytest.raises(ValueError, match="holds 0 positions"):
        cache.truncate(0, 1)
    model(tokens_of(1, 3), SequenceLayout.rows([3]), cache)
    kept = cache.snapshot(0)
    for start, end in ((0, 4), (2, 2), (2, 1), (-1, 2)):
        with pytest.raises(ValueError, match="holds 3 positions, not a span"):
            cache.snapshot(0, start, end)
    with pytest.raises(ValueError, match="from position 0 on cannot follow 3"):
        cache.restore(0, kept)
    with pytest.raises(ValueError, match="3 positions does not fit a capacity of 2"):
        model.new_cache(1, 2).restore(0, kept)


def test_spans_put_back_one_behind_the_other_equal_a_replay(model: TransformerModel) -> None:
    x = tokens_of(1, 9)
    whole = model(x, SequenceLayout.rows([9]))[0]
    cache = model.new_cache(2, 9)
    model(x[:, :8].repeat(2, 1), SequenceLayout.rows([8, 0], 8), cache)
    spans = [cache.snapshot(0, 0, 3), cache.snapshot(0, 3, 4), cache.snapshot(0, 4, 8)]
    cache.truncate(0, 1)
    model.step(torch.zeros(2, dtype=torch.int64), cache, torch.tensor([True, False]))
    cache.restore(1, spans[0])
    cache.restore(1, *spans[1:])
    assert cache.lengths.tolist() == [2, 8]
    logits = model.step(x[0, [0, 8]], cache, torch.tensor([False, True]))
    torch.testing.assert_close(logits[1], whole[8], rtol=0, atol=1e-12)


def test_pieces_are_cut_where_they_can_be(model: TransformerModel) -> None:
    x = tokens_of(1, 6)
    whole = model(x, SequenceLayout.rows([6]))[0]
    cache = model.new_cache(2, 6)
    model(x.repeat(2, 1), SequenceLayout.rows([6, 0], 6), cache)
    piece = cache.snapshot(0, 0, 5)
    left, right = piece.split(2)
    assert (left.start, left.end, right.start, right.end) == (0, 2, 2, 5)
    held = [sum(tensor.nbytes for tensor in tensors_of(part)) for part in (piece, right)]
    assert [piece.num_bytes, right.num_bytes] == held
    stateful = isinstance(model.spec.mixer, GatedRecurrence)
    assert left.whole == piece.first(2).whole == (not stateful)
    if stateful:
        with pytest.raises(ValueError, match="cannot go on from 2 positions"):
            cache.restore(1, left)
    else:
        assert left.num_bytes + right.num_bytes == piece.num_bytes
        cache.restore(1, piece.first(2))
        cache.truncate(1, 0)
    cache.restore(1, left, right)
    logits = model.step(x[0, [0, 5]], cache, torch.tensor([False, True]))
    torch.testing.assert_close(logits[1], whole[5], rtol=0, atol=1e-12)
    filled = cache.fill(0, left)
    assert filled.whole
    cache.reset(1)
    cache.restore(1, filled)
    logits = model.step(x[0, [0, 2]], cache, torch.tensor([False, True]))
    torch.testing.assert_close(logits[1], whole[2], rtol=0, atol=1e-12)


def test_a_restored_row_is_cut_no_further_than_it_is_known(exact: Placement) -> None:
    model = build_model(spec_of(GatedRecurrence()), exact, 3)
    x = tokens_of(1, 7)
    whole = model(x, SequenceLayout.rows([7]))[0]
    cache = model.new_cache(3, 8)
    model(x[:, :5].repeat(3, 1), SequenceLayout.rows([5, 0, 0], 5), cache)
    cache.restore(1, cache.snapshot(0))
    model(x[:, 5:].repeat(3, 1), SequenceLayout.chunk(torch.tensor([0, 2, 0]), cache.lengths, 2), cache)
    cache.fork(1, 2)
    for row in (1, 2):
        with pytest.raises(ValueError, match="restored at 5 positions: its state after 4"):
            cache.truncate(row, 4)
        assert int(cache.lengths[row]) == 7
        assert [cache.snapshot(row, 0, end).whole for end in (4, 5, 6)] == [False, True, True]
        for length in (6, 5, 0):
            cache.truncate(row, length)
            logits = model.step(x[0, [length] * 3], cache, torch.arange(3) == row)
            torch.testing.assert_close(logits[row], whole[length], rtol=0, atol=1e-12)
    cache.truncate(0, 4)


def test_the_bytes_of_a_cache_are_known_before_it_is_built(model: TransformerModel) -> None:
    cache = model.new_cache(3, 17)
    held = [tensor for layer in cache.layers for tensor in vars(layer).values() if tensor is not None]
    storages = [tensor.untyped_storage().nbytes() for tensor in (*held, cache.lengths)]
    assert model.cache_bytes(3, 17) == cache.num_bytes == sum(storages)
