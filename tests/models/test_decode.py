"""The step with weights side by side equals the ordinary step, and leaves inactive rows alone."""

import attrs
import pytest
import torch

from lmc.runtime.models.build import build_model
from lmc.runtime.models.decode import Decoder, StepWeights
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, Nope, Rope, SwiGLU, Transformer

MODELS = {
    "plain": Transformer(vocab=50, layers=2, width=16, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=24)),
    "grouped": Transformer(vocab=50, layers=3, width=32, mixer=Attention(heads=4, kv_heads=2), mlp=SwiGLU(hidden=8)),
    "one kv head, tied, turns": Transformer(
        vocab=33,
        layers=1,
        width=24,
        mixer=Attention(heads=3, kv_heads=1),
        mlp=SwiGLU(hidden=16),
        positions=Rope(unit="turns"),
        tied=True,
    ),
    "nope": Transformer(
        vocab=50, layers=2, width=16, mixer=Attention(heads=2, kv_heads=1), mlp=SwiGLU(hidden=24), positions=Nope()
    ),
    "biased": Transformer(
        vocab=50,
        layers=2,
        width=16,
        mixer=Attention(heads=2, kv_heads=1, bias="all"),
        mlp=SwiGLU(hidden=24, bias=True),
    ),
    "queries, keys and values biased": Transformer(
        vocab=50, layers=2, width=16, mixer=Attention(heads=2, kv_heads=1, bias="qkv"), mlp=SwiGLU(hidden=24)
    ),
    "recurrence": Transformer(vocab=50, layers=2, width=16, mixer=GatedRecurrence(), mlp=SwiGLU(hidden=24)),
}
PAST = [5, 2, 7, 0]
ACTIVE = torch.tensor([True, True, False, True])


def prompted(model: TransformerModel, lengths: list[int]) -> object:
    cache = model.new_cache(len(lengths), 16)
    tokens = torch.randint(0, 33, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(0))
    model(tokens, SequenceLayout.chunk(torch.tensor(lengths), cache.lengths, max(lengths)), cache)
    return cache


def tensors_of(piece: object) -> list[torch.Tensor]:
    return [field for field in attrs.astuple(piece, recurse=False) if isinstance(field, torch.Tensor)]  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_steps_equal_the_ordinary_ones(spec: Transformer, exact: Placement) -> None:
    model = build_model(spec, exact, 1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    one, other = prompted(model, PAST), prompted(model, PAST)
    decoder = Decoder(StepWeights.of(model), one)  # type: ignore[arg-type]
    assert bool(decoder.blocks) == isinstance(spec.mixer, Attention)
    generator = torch.Generator().manual_seed(1)
    for step in range(6):
        tokens = torch.randint(0, 33, (4,), generator=generator)
        before = one.snapshot(2)  # type: ignore[attr-defined]
        live = 6 + step
        found = decoder.step(tokens, ACTIVE, live, even=False)
        want = model.step(tokens, other, ACTIVE)  # type: ignore[arg-type]
        torch.testing.assert_close(found[ACTIVE], want[ACTIVE], rtol=0, atol=1e-12)
        assert one.lengths.tolist() == other.lengths.tolist()  # type: ignore[attr-defined]
        after = one.snapshot(2)  # type: ignore[attr-defined]
        assert (after.start, after.end) == (before.start, before.end)
        for now, then in zip(after.parts, before.parts, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors_of(now), tensors_of(then), strict=True))


def test_rows_of_one_length_need_no_mask(exact: Placement) -> None:
    model = build_model(MODELS["grouped"], exact, 1)
    one, other = prompted(model, [4, 4, 4]), prompted(model, [4, 4, 4])
    active, tokens = torch.ones(3, dtype=torch.bool), torch.tensor([1, 2, 3])
    found = Decoder(StepWeights.of(model), one).step(tokens, active, 5, even=True)  # type: ignore[arg-type]
    torch.testing.assert_close(found, model.step(tokens, other, active), rtol=0, atol=1e-12)  # type: ignore[arg-type]


def test_a_watched_model_takes_its_ordinary_pass(exact: Placement) -> None:
    model = build_model(MODELS["plain"], exact, 1)
    seen = []
    model.sites()["blocks.0.mixer.out"].register_forward_hook(lambda module, inputs, output: seen.append(output))
    cache = prompted(model, [3])
    seen.clear()
    Decoder(StepWeights.of(model), cache).step(torch.tensor([1]), torch.tensor([True]), 4, even=True)  # type: ignore[arg-type]
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["grouped", "recurrence"])
def test_a_step_of_the_first_rows_leaves_the_others_alone(name: str, exact: Placement) -> None:
    model = build_model(MODELS[name], exact, 1)
    one, other = prompted(model, PAST), prompted(model, PAST)
    tokens, active = torch.tensor([1, 2]), torch.tensor([True, True])
    found = Decoder(StepWeights.of(model), one).step(tokens, active, 6, even=False)  # type: ignore[arg-type]
    want = model.step(torch.tensor([1, 2, 0, 0]), other, torch.tensor([True, True, False, False]))  # type: ignore[arg-type]
    torch.testing.assert_close(found, want[:2], rtol=0, atol=1e-12)
    assert one.lengths.tolist() == [6, 3, 7, 0]  # type: ignore[attr-defined]
