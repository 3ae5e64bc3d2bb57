"""Training against other people's parts: a decoder of torch.nn, torch's AdamW, and the Llama of transformers.

The reference reads one document at a time: no padding, no packing, no micro-batches.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attrs import evolve, frozen
from torch import Tensor, nn

from lmc.runtime.data.batch import Batch, Example
from lmc.runtime.data.order import Draw
from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.training.job import TrainJob
from lmc.runtime.training.loop import train
from lmc.runtime.training.loss import batch_loss
from lmc.runtime.training.step import step_batches
from lmc.runtime.weights.names import tensor_name
from lmc.runtime.weights.write import config_of
from lmc.spec.model import Attention, RMSNorm, Rope, SwiGLU, Transformer
from lmc.spec.schedule import Cosine
from lmc.spec.train import AdamW, Every, Loss, Train
from lmc.spec.units import Steps

VOCAB, WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN, THETA, EPS = 61, 24, 3, 6, 2, 40, 500.0, 1e-4
HEAD = WIDTH // HEADS
MODEL = Transformer(
    vocab=VOCAB,
    layers=LAYERS,
    width=WIDTH,
    mixer=Attention(heads=HEADS, kv_heads=KV_HEADS),
    mlp=SwiGLU(hidden=HIDDEN),
    norm=RMSNorm(eps=EPS),
    positions=Rope(theta=THETA),
)
TRAIN = Train(
    model="m",
    data="d",
    steps=Steps(20),
    batch=7,
    optim=AdamW(lr=1e-2, betas=(0.9, 0.97), weight_decay=0.2, clip=2.2),
    schedule=Cosine(warmup=Steps(4), floor=1e-3),
    every=Every(log=Steps(1)),
)


@frozen
class Dialogues:
    """Thirty-five dialogues of 3 to 37 ids in turns of unequal length; every second turn is trained."""

    seed: int = 3
    order: str = "shuffle"

    def size(self, split: str) -> int:
        return 35

    def example(self, split: str, draw: Draw) -> Example:
        length = 3 + 17 * draw.index % 35
        at = np.arange(length)
        tokens = (draw.index * draw.index + (1 + draw.index % 5) * at + at // 4) % VOCAB
        trained = (at // (2 + draw.index % 3) % 2 == 1) & (at < length - 1)
        trained[length - 2] = True
        return Example(tokens.astype(np.int32), trained)


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        sizes = {"q": HEADS * HEAD, "k": KV_HEADS * HEAD, "v": KV_HEADS * HEAD}
        self.self_attn = nn.ModuleDict({f"{n}_proj": nn.Linear(WIDTH, size, bias=False) for n, size in sizes.items()})
        self.self_attn["o_proj"] = nn.Linear(HEADS * HEAD, WIDTH, bias=False)
        self.mlp = nn.ModuleDict({f"{n}_proj": nn.Linear(WIDTH, HIDDEN, bias=False) for n in ("gate", "up")})
        self.mlp["down_proj"] = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.input_layernorm(x))
        normed = self.post_attention_layernorm(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](normed)) * self.mlp["up_proj"](normed))

    def attend(self, x: Tensor) -> Tensor:
        length = len(x)
        q = turned(self.self_attn["q_proj"](x).view(length, HEADS, HEAD))
        k = turned(self.self_attn["k_proj"](x).view(length, KV_HEADS, HEAD))
        v = self.self_attn["v_proj"](x).view(length, KV_HEADS, HEAD)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = []
        for head in range(HEADS):
            group = head // (HEADS // KV_HEADS)
            scores = (q[:, head] @ k[:, group].T / math.sqrt(HEAD)).masked_fill(future, -math.inf)
            mixed.append(scores.softmax(-1) @ v[:, group])
        return self.self_attn["o_proj"](torch.cat(mixed, dim=-1))


def turned(x: Tensor) -> Tensor:
    """Rotate pairs (i, i + HEAD / 2) of float[T, H, HEAD] as complex numbers."""
    pairs = torch.complex(x[..., : HEAD // 2], x[..., HEAD // 2 :])
    rates = torch.tensor([THETA ** (-2 * i / HEAD) for i in range(HEAD // 2)], dtype=torch.float64)
    angles = torch.arange(len(x), dtype=torch.float64)[:, None] * rates
    pairs = pairs * torch.polar(torch.ones_like(angles), angles).to(pairs.dtype)[:, None]
    return torch.cat([pairs.real, pairs.imag], dim=-1)


class Reference(nn.Module):
    """A Llama whose parameters are named as transformers names them; reads one document."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(VOCAB, WIDTH),
                "layers": nn.ModuleList(Layer() for _ in range(LAYERS)),
                "norm": Norm(),
            }
        )
        self.lm_head = nn.Linear(WIDTH, VOCAB, bias=False)
        if tied:
            self.lm_head.weight = self.model["embed_tokens"].weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits float[T, V] of int64[T]."""
        x = self.model["embed_tokens"](tokens)
        for layer in self.model["layers"]:
            x = layer(x)
        return self.lm_head(self.model["norm"](x))


def started(model: TransformerModel, other: nn.Module) -> Any:
    """Copy the weights of a model of lmc into one that names them as transformers does."""
    given = {tensor_name(path): value.detach().clone() for path, value in model.named_parameters()}
    missing, unexpected = other.load_state_dict(given, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    return other


def examples_of(step: int) -> list[Example]:
    """The examples of a 1-based step, read off one by one from micro-batches of one."""
    found = []
    for batch in step_batches(Dialogues(), TRAIN, step - 1, 1):
        trained = np.zeros(batch.tokens.shape[1], dtype=np.bool_)
        trained[batch.loss_index.numpy()] = True
        found.append(Example(batch.tokens[0].numpy(), trained))
    return found


def loss_of(logits_of: Any, examples: list[Example], spec: Loss) -> Tensor:
    """The loss of a step written out: document by document, position by position."""
    total, count = torch.zeros(()), 0
    for example in examples:
        logits = logits_of(torch.from_numpy(example.tokens).long())
        for at in np.flatnonzero(example.trained).tolist():
            log_z = logits[at].exp().sum().log()
            sure = log_z - logits[at, int(example.tokens[at + 1])]
            spread = (log_z - logits[at]).mean()
            total = total + (1 - spec.smoothing) * sure + spec.smoothing * spread + spec.z * log_z**2
            count += 1
    return total / count


def as_trained(model: TransformerModel, micro_batch: int | None, step: int, spec: Loss) -> float:
    """The loss of a step as the trainer computes it, with its gradients left in the model."""
    batches = step_batches(Dialogues(), TRAIN, step - 1, micro_batch)
    assert len(batches) > 1
    total = 0.0
    for batch in batches:
        part = batch_loss(model, batch, spec)
        part.backward()  # type: ignore[no-untyped-call]
        total += float(part.detach())
    return total


def assert_same_gradients(model: TransformerModel, other: nn.Module) -> None:
    theirs = {name: p.grad for name, p in other.named_parameters()}
    ours = {tensor_name(path): p.grad for path, p in model.named_parameters()}
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        assert gradient is not None
        assert gradient.abs().max() > 1e-4, f"nothing reaches {name}"
        torch.testing.assert_close(gradient, theirs[name], rtol=0, atol=1e-5, msg=lambda text, name=name: name + text)


LOSSES = {"plain": Loss(), "z": Loss(z=1e-2), "smoothing": Loss(smoothing=0.2), "both": Loss(z=3e-3, smoothing=0.1)}


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("micro_batch", [None, 2, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_loss_and_gradients_of_a_step_are_those_of_torch_nn(
    kind: str, micro_batch: int | None, tied: bool, cpu: Placement
) -> None:
    model = build_model(evolve(MODEL, tied=tied), cpu, 1)
    other = started(model, Reference(tied))
    for step in (1, 9):
        found = as_trained(model, micro_batch, step, LOSSES[kind])
        wanted = loss_of(other, examples_of(step), LOSSES[kind])
        wanted.backward()  # type: ignore[no-untyped-call]
        assert found == pytest.approx(float(wanted.detach()), abs=1e-5)
        assert_same_gradients(model, other)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", LOSSES)
def test_documents_packed_into_one_row_are_those_of_torch_nn(kind: str, tied: bool, cpu: Placement) -> None:
    model = build_model(evolve(MODEL, tied=tied), cpu, 1)
    examples = examples_of(3)
    tokens = torch.from_numpy(np.concatenate([example.tokens for example in examples])).long()
    index = torch.from_numpy(np.flatnonzero(np.concatenate([example.trained for example in examples])))
    batch = Batch(
        tokens=tokens[None],
        layout=SequenceLayout.pack([[len(example.tokens) for example in examples]]),
        loss_index=index,
        targets=tokens[index + 1],
        weight=torch.ones(len(index)),
        n_loss=float(len(index)),
    )
    found = batch_loss(model, batch, LOSSES[kind])
    found.backward()  # type: ignore[no-untyped-call]
    other = started(model, Reference(tied))
    wanted = loss_of(other, examples, LOSSES[kind])
    wanted.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), abs=1e-5)
    assert_same_gradients(model, other)


@pytest.mark.transformers
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", LOSSES)
def test_loss_and_gradients_of_a_step_are_those_of_transformers(kind: str, tied: bool, cpu: Placement) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the transformers library")
    model = build_model(evolve(MODEL, tied=tied), cpu, 1)
    config = transformers.LlamaConfig(**config_of(model.spec, 64))
    other = started(model, transformers.LlamaForCausalLM(config).train())
    found = as_trained(model, None, 2, LOSSES[kind])
    wanted = loss_of(lambda tokens: other(tokens[None]).logits[0], examples_of(2), LOSSES[kind])
    wanted.backward()  # type: ignore[no-untyped-call]
    assert found == pytest.approx(float(wanted.detach()), abs=1e-5)
    assert_same_gradients(model, other)


@pytest.mark.transformers
def test_the_loss_of_a_step_is_what_transformers_calls_loss(cpu: Placement) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the transformers library")
    model = build_model(MODEL, cpu, 1)
    other = started(model, transformers.LlamaForCausalLM(transformers.LlamaConfig(**config_of(MODEL, 64))))
    total, count = 0.0, 0
    for example in examples_of(2):
        tokens = torch.from_numpy(example.tokens)[None].long()
        labels = torch.full_like(tokens, -100)
        labels[0, 1:][example.trained[:-1]] = tokens[0, 1:][example.trained[:-1]]
        trained = int((labels >= 0).sum())
        total, count = total + trained * float(other(tokens, labels=labels).loss.detach()), count + trained
    assert as_trained(model, None, 2, Loss()) == pytest.approx(total / count, abs=1e-5)


def by_torch(tied: bool, cpu: Placement) -> list[float]:
    """Twenty steps of `TRAIN` by a loop of torch.nn and torch.optim.AdamW."""
    model = started(build_model(evolve(MODEL, tied=tied), cpu, TRAIN.seed), Reference(tied))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.97), eps=1e-8)
    losses = []
    for step in range(1, 21):
        rate = 1e-2 * step / 4 if step < 4 else 1e-3 + 9e-3 * (1 + math.cos(math.pi * (step - 4) / 16)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = loss_of(model, examples_of(step), Loss())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.2)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


UNTIED = (
    "4.49090 4.61174 4.38363 4.51252 4.36568 3.93638 3.72075 3.75008 3.84456 3.59874 "
    "3.19316 3.26431 3.32662 3.31805 3.46692 3.02168 3.01566 2.92858 3.02484 3.07424"
)
TIED = (
    "4.57328 4.35314 4.55845 4.42595 4.22647 3.86045 3.77048 3.82891 3.89974 3.61540 "
    "3.38141 3.36407 3.25968 3.24535 3.35646 3.18956 2.95160 3.01139 3.00525 3.12835"
)
"""The losses of `TRAIN`, steps 1 to 20, whose clipping is at work in about half of them."""


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_twenty_steps_have_the_losses_of_torch_and_those_that_are_known(
    tied: bool, cpu: Placement, tmp_path: Path
) -> None:
    found: list[float] = []
    train(
        TrainJob(
            spec=TRAIN,
            model=evolve(MODEL, tied=tied),
            dataset=Dialogues(),  # type: ignore[arg-type]
            placement=cpu,
            folder=tmp_path,
            report=lambda record: found.append(record.loss),
        )
    )
    assert found == pytest.approx(by_torch(tied, cpu), abs=1e-5)
    assert found == pytest.approx([float(loss) for loss in (TIED if tied else UNTIED).split()], rel=1e-4)
