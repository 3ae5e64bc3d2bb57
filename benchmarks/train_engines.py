"""Training loops of one shape with drawn weights, written as their users write them: lmc, transformers, litgpt.

An engine is made for a shape and a precision; it returns a function that does one optimiser step (forward, backward,
gradient norm or clipping, AdamW) and tells how many tokens it processed. Every import is inside its engine, so that
a process needs only what it measures. Peers read one fixed batch; lmc draws and collates its own at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """A transformer with SwiGLU, RMSNorm and RoPE, and the batch that it is trained on."""

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    tied: bool
    batch: int
    length: int

    @property
    def flops(self) -> float:
        """Operations per token: 6 per weight of a matrix product, 6 L S D of causal attention."""
        size = self.width // self.heads
        block = self.width * size * 2 * (self.heads + self.kv_heads) + 3 * self.width * self.hidden
        dense = self.layers * block + self.vocab * self.width
        return 6.0 * dense + 6.0 * self.layers * self.length * self.width


SHAPES = {
    "T1": Shape(260, 64, 2, 2, 2, 256, False, 128, 256),
    "T2": Shape(65, 384, 6, 6, 6, 1024, False, 16, 256),
    "T3": Shape(49152, 576, 30, 9, 3, 1536, True, 1, 512),
}
Step = Callable[[], int]


def lmc(shape: Shape, dtype: str, compiled: bool) -> Step:
    """lmc's own step on random documents."""
    from lmc.spec.model import Attention, SwiGLU, Transformer

    model = Transformer(
        vocab=shape.vocab,
        layers=shape.layers,
        width=shape.width,
        mixer=Attention(heads=shape.heads, kv_heads=shape.kv_heads),
        mlp=SwiGLU(hidden=shape.hidden),
        tied=shape.tied,
    )
    stepper = stepper_of(model, RandomText(shape), shape.batch, dtype, compiled)

    def step() -> int:
        stepper.step()
        return shape.batch * shape.length

    return step


def stepper_of(model_spec: Any, dataset: Any, batch: int, dtype: str, compiled: bool | None) -> Any:
    """Return lmc's step with everything that a long run does in it; micro-batches are as its autotune chooses them."""
    import tempfile
    from pathlib import Path

    import torch

    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.runtime.registry import BUILDERS
    from lmc.runtime.training.autotune import tuned_stages
    from lmc.runtime.training.clock import StepClock
    from lmc.runtime.training.execution import apply, resolve
    from lmc.runtime.training.job import Progress, TrainJob
    from lmc.runtime.training.meter import Meter
    from lmc.runtime.training.precision import dtypes
    from lmc.runtime.training.step import Stepper
    from lmc.runtime.training.warm import prepare
    from lmc.spec.train import AdamW, Precision, Train

    spec = Train(
        model="m",
        data="d",
        steps=1_000_000,
        batch=batch,
        compile=compiled,
        optim=AdamW(clip=1.0),
        precision=Precision(compute=dtype),
    )
    placement, folder = Placement(torch.device("cpu")), Path(tempfile.mkdtemp())
    job = TrainJob(spec=spec, model=model_spec, dataset=dataset, placement=placement, folder=folder)
    here = resolve(spec, model_spec, placement)
    apply(here)
    model = build_model(model_spec, placement, 0)
    execution, by = prepare(job, model, tuned_stages(job, model, here))
    optimizer = BUILDERS[AdamW](spec.optim, model)
    kinds, device = dtypes(spec.precision, placement), placement.device
    clock, meter = StepClock(folder / "profile.jsonl", device), Meter.start(0, device, kinds.compute)
    return Stepper(job, execution, model, optimizer, Progress(), kinds, clock, meter, by=by)


class RandomText:
    """Random documents of one length, all of whose positions are trained, as a data set of lmc."""

    order = "shuffle"
    seed = 0

    def __init__(self, shape: Shape) -> None:
        import numpy as np

        self.shape, self.numpy = shape, np

    def size(self, split: str) -> int:
        return 1 << 20

    def example(self, split: str, draw: Any) -> Any:
        from lmc.runtime.data.batch import Example

        tokens = self.numpy.random.default_rng(draw.index).integers(0, self.shape.vocab, self.shape.length + 1)
        return Example(tokens.astype(self.numpy.int32), self.numpy.ones(len(tokens), dtype=bool))


def transformers(shape: Shape, dtype: str, compiled: bool) -> Step:
    """A plain loop over `LlamaForCausalLM`: labels, autocast for bf16, clipping, fused AdamW."""
    import torch

    model = llama(shape)
    forward = torch.compile(model) if compiled else model
    return plain_loop(model, lambda tokens: forward(input_ids=tokens, labels=tokens).loss, shape, dtype)


def padded_transformers(shape: Shape, examples: str, compiled: bool) -> Step:
    """The same loop over dialogues that are padded to one length; returns how many tokens carried loss.

    `examples` is a file of numpy with `tokens` int64[N, S] and `labels` int64[N, S], -100 where there is no loss. No
    attention mask is given, which is right for padding behind and fastest.
    """
    import numpy as np
    import torch

    model = llama(shape)
    forward = torch.compile(model) if compiled else model
    rows = {name: torch.from_numpy(values) for name, values in np.load(examples).items()}
    batches = [
        (tokens, labels, int((labels[:, 1:] != -100).sum()))
        for tokens, labels in zip(rows["tokens"].split(shape.batch), rows["labels"].split(shape.batch), strict=True)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    number = 0

    def step() -> int:
        nonlocal number
        tokens, labels, count = batches[number % len(batches)]
        number += 1
        forward(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return count

    return step


def llama(shape: Shape) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocab,
            hidden_size=shape.width,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            tie_word_embeddings=shape.tied,
            max_position_embeddings=max(shape.length, 512),
            use_cache=False,
        )
    )


def litgpt(shape: Shape, dtype: str, compiled: bool) -> Step:
    """A plain loop over litgpt's model and its chunked cross entropy."""
    import torch
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=shape.length,
        vocab_size=shape.vocab,
        padded_vocab_size=shape.vocab,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_query_groups=shape.kv_heads,
        n_embd=shape.width,
        intermediate_size=shape.hidden,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
    )
    model = GPT(config)
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.02)
    if shape.tied:
        model.lm_head.weight = model.transformer.wte.weight
    forward = torch.compile(model) if compiled else model

    def loss(tokens: Any) -> Any:
        return chunked_cross_entropy(forward(tokens)[:, :-1], tokens[:, 1:], chunk_size=0)

    return plain_loop(model, loss, shape, dtype)


def plain_loop(model: Any, loss_of: Callable[[Any], Any], shape: Shape, dtype: str) -> Step:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(shape.vocab, (shape.batch, shape.length), generator=torch.Generator().manual_seed(0))

    def step() -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = loss_of(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return tokens.numel()

    return step


ENGINES = {"lmc": lmc, "transformers": transformers, "litgpt": litgpt}
