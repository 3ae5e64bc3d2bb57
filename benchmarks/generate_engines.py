"""Decoders of one shape with random weights, called as their users call them: lmc, transformers, litgpt.

An engine is made for a shape, a batch and a mode; it returns a function that generates once and tells how many tokens
are new. Every import is inside its engine, so that a process needs only what it measures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

TOP_P = 0.9
CONTEXT = 512


class Shape(NamedTuple):
    """A transformer with SwiGLU, RMSNorm and RoPE, and how many tokens it reads and says."""

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    tied: bool
    prompt: int
    new: int


class Mode(NamedTuple):
    """How tokens are drawn, and whether prompts differ in length."""

    sampled: bool
    ragged: bool


SHAPES = {
    "T1": Shape(260, 64, 2, 2, 2, 256, False, 64, 128),
    "T2": Shape(256, 384, 6, 6, 6, 1024, False, 64, 128),
    "T3": Shape(49152, 576, 30, 9, 3, 1536, True, 64, 64),
}
MODES = {
    "greedy": Mode(False, False),
    "top-p": Mode(True, False),
    "greedy-ragged": Mode(False, True),
    "top-p-ragged": Mode(True, True),
}
Generate = Callable[[], int]


class LeftOut(Exception):
    """An engine cannot do what a cell asks for."""


def prompts(shape: Shape, batch: int, mode: Mode) -> list[list[int]]:
    """Return the same random prompts for every engine, of half to full length if they are ragged."""
    draw = random.Random(0)
    lengths = [draw.randint(shape.prompt // 2, shape.prompt) if mode.ragged else shape.prompt for _ in range(batch)]
    return [[draw.randint(1, 250) for _ in range(length)] for length in lengths]


def lmc(shape: Shape, batch: int, mode: Mode) -> Generate:
    import torch

    from lmc.runtime.generation.engine import Engine
    from lmc.runtime.generation.requests import Request
    from lmc.runtime.generation.sampling import Sampling
    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.runtime.tokenizers.byte import Bytes
    from lmc.spec.model import Attention, SwiGLU, Transformer

    spec = Transformer(
        vocab=shape.vocab,
        layers=shape.layers,
        width=shape.width,
        mixer=Attention(heads=shape.heads, kv_heads=shape.kv_heads),
        mlp=SwiGLU(hidden=shape.hidden),
        tied=shape.tied,
    )
    engine = Engine(build_model(spec, Placement(torch.device("cpu")), 0), Bytes(()), lanes=batch)
    settings = [Sampling(temperature=1.0, top_p=TOP_P, seed=i) if mode.sampled else Sampling() for i in range(batch)]
    rows = prompts(shape, batch, mode)
    requests = [Request(tuple(row), shape.new, how) for row, how in zip(rows, settings, strict=True)]
    return lambda: sum(len(transcript.tokens) - transcript.prompt for transcript in engine.run(requests))


def transformers_dynamic(shape: Shape, batch: int, mode: Mode) -> Generate:
    return transformers(shape, batch, mode, {})


def transformers_static(shape: Shape, batch: int, mode: Mode) -> Generate:
    return transformers(shape, batch, mode, {"cache_implementation": "static", "disable_compile": True})


def transformers(shape: Shape, batch: int, mode: Mode, cache: dict[str, Any]) -> Generate:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    rows = prompts(shape, batch, mode)
    width = max(map(len, rows))
    tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = (tokens != 0).long()
    how = {"do_sample": True, "temperature": 1.0, "top_p": TOP_P, "top_k": 0} if mode.sampled else {"do_sample": False}
    settings = {"max_new_tokens": shape.new, **how, **cache}
    return lambda: batch * (model.generate(tokens, attention_mask=mask, **settings).shape[1] - width)


def litgpt(shape: Shape, batch: int, mode: Mode) -> Generate:
    if mode.ragged and batch > 1:
        raise LeftOut("litgpt's batched_generate_fn takes prompts of one length only")
    import torch
    from litgpt.generate.base import batched_generate_fn, generate

    model = litgpt_model(shape)
    rows = torch.tensor(prompts(shape, batch, mode))
    length = rows.shape[1]
    model.max_seq_length = length + shape.new
    model.set_kv_cache(batch_size=batch)
    how = {"temperature": 1.0, "top_p": TOP_P} if mode.sampled else {"temperature": 0.0}

    def forget() -> None:
        for block in model.transformer.h:
            block.attn.kv_cache.reset_parameters()

    def one() -> int:
        new = len(generate(model, rows[0], length + shape.new, **how)) - length
        forget()
        return new

    def many() -> int:
        said = batched_generate_fn(
            model, rows, length + shape.new, sample_args=how, include_prompt=False, include_eos=True
        )
        new = sum(map(len, said))
        forget()
        return new

    return one if batch == 1 else many


def litgpt_model(shape: Shape) -> Any:
    from litgpt import GPT, Config

    config = Config(
        block_size=CONTEXT,
        vocab_size=shape.vocab,
        padded_vocab_size=shape.vocab,
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=shape.heads,
        n_query_groups=shape.kv_heads,
        intermediate_size=shape.hidden,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
    )
    model = GPT(config).eval()
    model.apply(model._init_weights)
    if shape.tied:
        model.lm_head.weight = model.transformer.wte.weight
    return model


ENGINES = {
    "lmc": lmc,
    "transformers": transformers_dynamic,
    "transformers-static": transformers_static,
    "litgpt": litgpt,
}
"""By name, which begins with the name of the package."""
