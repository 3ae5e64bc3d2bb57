"""What `lmc plan` estimates, against what torch counts: parameters, operations, state and activations of a step."""

from collections.abc import Callable

import pytest
import torch
from attrs import evolve
from support.training import MODEL, TRAIN
from torch.utils.flop_counter import FlopCounterMode

from lmc.runtime.data.batch import Example, collate
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.registry import BUILDERS
from lmc.runtime.training import optimizer as _optimizer  # noqa: F401  (registers its builders)
from lmc.runtime.training.loss import batch_loss
from lmc.spec.data import Text
from lmc.spec.estimate import activation_bytes, estimate, flops_per_token, state_bytes
from lmc.spec.mesh import Mesh
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer
from lmc.spec.optim import SGD, AdamW, Muon
from lmc.spec.train import Train
from lmc.spec.units import FilePath, Steps

LENGTH = 64
WIDE = Transformer(vocab=97, layers=3, width=48, mixer=Attention(heads=4, kv_heads=2), mlp=SwiGLU(hidden=160))
MODELS = {
    "plain": MODEL,
    "wide": WIDE,
    "tied": evolve(WIDE, tied=True, vocab=300),
    "window": evolve(WIDE, mixer=Attention(heads=4, kv_heads=2, window=8, sinks=3)),
    "gated": evolve(WIDE, mixer=GatedRecurrence()),
}


def examples(model: Transformer, count: int) -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(model.num_ids(), (count, LENGTH + 1), generator=generator, dtype=torch.int32).numpy()
    used = torch.ones(LENGTH + 1, dtype=torch.bool).numpy()
    return [Example(tokens, used) for tokens in draws]


def loss_of(model: TransformerModel, rows: int) -> torch.Tensor:
    (batch,) = collate(examples(model.spec, rows), rows)
    return batch_loss(model, batch)


@pytest.mark.parametrize("name", MODELS)
def test_activations_are_what_autograd_keeps(name: str, cpu: Placement) -> None:
    model = build_model(MODELS[name], cpu, 0)
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(model, 4)
    expected = activation_bytes(TRAIN, MODELS[name], 4, LENGTH)
    assert 0.7 <= expected / sum(kept.values()) <= 1.4
    del loss


@pytest.mark.parametrize("optim", [AdamW(), SGD(), SGD(momentum=0.0), Muon()])
def test_state_is_what_parameters_gradients_and_optimiser_hold(optim: AdamW | SGD | Muon, cpu: Placement) -> None:
    model = build_model(WIDE, cpu, 0)
    optimizer = BUILDERS[type(optim)](optim, model)
    loss_of(model, 2).backward()
    optimizer.step()
    tensors = [t for p in model.parameters() for t in (p, p.grad)]
    tensors += [v for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
    held = sum(t.nbytes for t in tensors if t is not None and t.numel() > 1)
    assert state_bytes(evolve(TRAIN, optim=optim), WIDE) == pytest.approx(held, rel=0.02)


def pairs(model: Transformer) -> int:
    """Positions that see each other in an example."""
    mixer = model.mixer
    assert isinstance(mixer, Attention)
    window, sinks = mixer.window or LENGTH, mixer.sinks
    return sum(k <= q and (q - k < window or k < sinks) for q in range(LENGTH) for k in range(LENGTH))


@pytest.mark.parametrize("name", ["plain", "wide", "tied", "window"])
def test_operations_are_what_torch_counts(name: str, cpu: Placement) -> None:
    spec = MODELS[name]
    mixer = spec.mixer
    assert isinstance(mixer, Attention)
    model = build_model(spec, cpu, 0)
    with FlopCounterMode(display=False) as counter:
        model.head(model.hidden(*tokens_of(spec))).sum().backward()
    # torch counts no fused attention: 2 multiplications and additions a pair and channel, thrice with the way back.
    attention = 12.0 * spec.layers * mixer.heads * mixer.head_size(spec.width) * pairs(spec)
    counted = (counter.get_total_flops() + attention) / LENGTH
    assert flops_per_token(spec, LENGTH) == pytest.approx(counted, rel=0.01)


def tokens_of(spec: Transformer) -> tuple[torch.Tensor, SequenceLayout]:
    tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
    return tokens, SequenceLayout.rows([LENGTH])


def read(model: Transformer, mesh: Mesh) -> Callable[[str], object]:
    nodes = {"m": model, "d": Text(source=FilePath("a"), tokenizer="t", seq_len=LENGTH), "mesh": mesh}
    return nodes.__getitem__


def test_a_training_is_the_sum_of_its_steps() -> None:
    train = evolve(TRAIN, steps=Steps(50), batch=8)
    found = estimate(train, read(WIDE, Mesh()))
    assert found.params == WIDE.num_params()
    assert found.tokens == 50 * 8 * LENGTH
    assert found.flops == pytest.approx(found.tokens * flops_per_token(WIDE, LENGTH))
    assert found.memory == state_bytes(train, WIDE) + activation_bytes(train, WIDE, 8, LENGTH)


def test_devices_share_the_batch_and_the_weights() -> None:
    train = evolve(TRAIN, batch=8, mesh="mesh")
    alone, both = (estimate(train, read(WIDE, mesh)) for mesh in (Mesh(devices=1), Mesh(devices=4, dp=2, tp=2)))
    assert both.state == alone.state // 2  # type: ignore[operator]
    assert both.activations == activation_bytes(train, WIDE, 4, LENGTH) // 2


def test_what_only_a_run_can_tell_is_none() -> None:
    found = estimate(evolve(TRAIN, steps=None, epochs=2.0), read(evolve(WIDE, vocab=None), Mesh()))
    assert (found.params, found.tokens, found.flops, found.memory) == (None, None, None, None)


def test_computing_again_takes_less() -> None:
    again = evolve(TRAIN, remat=evolve(TRAIN.remat, blocks=("blocks.*",)))
    deep = evolve(WIDE, layers=12)
    assert activation_bytes(again, deep, 8, LENGTH) < activation_bytes(TRAIN, deep, 8, LENGTH) / 2
    half: Train = evolve(TRAIN, precision=evolve(TRAIN.precision, params="bf16", compute="bf16", reduce="bf16"))
    assert state_bytes(half, deep) == state_bytes(TRAIN, deep) / 2
