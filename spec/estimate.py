"""What a training will take, by arithmetic alone: parameters, tokens, operations and bytes on a device.

Tokens are those of examples that are `data.seq_len` long, so dialogues, which are shorter, take less.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from attrs import frozen

from .mesh import Mesh
from .model import Attention, Stack, SwiGLU
from .optim import SGD, Muon
from .train import Train

LARGEST_MICRO_BATCH = 8192
"""Slots of a forward pass whose micro-batch is chosen by length; more gains nothing on a CPU and costs memory."""
LOGITS_BYTES = 512 * 2**20
"""Logits, in float32, that are in memory at once; the softmax and its gradient take twice that beside them.

At 49,152 tokens and 576 channels on a CPU, chunks of this size cost 3 % more time than whole logits, chunks of
64 MiB 14 % (benchmarks/bench_optimizer.py).
"""
BYTES = {"fp32": 4, "bf16": 2}


@frozen
class Estimate:
    """What one training will take; None for what only its run can tell.

    Attributes:
        params: of the model, tied weights once.
        tokens: of all steps at most. flops: operations of forward and backward passes over these tokens, all trained.
        state: bytes of parameters, gradients, optimiser and running mean on one device.
        activations: bytes that a micro-batch keeps for its backward pass on one device.
    """

    params: int | None
    tokens: int | None
    flops: float | None
    state: int | None
    activations: int | None

    @property
    def memory(self) -> int | None:
        """Bytes on one device."""
        return None if self.state is None or self.activations is None else self.state + self.activations


def estimate(train: Train, spec_of: Callable[[str], Any]) -> Estimate:
    """Return what a training will take; `spec_of` gives the spec of a node."""
    model: Stack = spec_of(train.model)
    mesh = Mesh() if train.mesh is None else spec_of(train.mesh)
    parts = [(s.steps, s.batch, spec_of(s.data).seq_len) for s in train.stages]
    if not parts and train.steps is not None:
        parts = [(train.steps, train.batch, spec_of(train.data).seq_len)]
    longest = max((length for _, _, length in parts), default=spec_of(train.data).seq_len)
    tokens = sum(steps * batch * length for steps, batch, length in parts) if parts else None
    if model.vocab is None:
        return Estimate(None, tokens, None, None, None)
    flops = None
    if parts:
        flops = sum(steps * batch * length * flops_per_token(model, length) for steps, batch, length in parts)
    rows = max(1, train.batch // mesh.dp)
    rows = min(rows, train.micro_batch or max(1, LARGEST_MICRO_BATCH // longest))
    params = model.num_params()
    state = state_bytes(train, model) // mesh.tp
    return Estimate(params, tokens, flops, state, activation_bytes(train, model, rows, longest) // mesh.tp)


def flops_per_token(model: Stack, length: int) -> float:
    """Return the operations of forward and backward pass per token of examples of `length`, all positions trained.

    6 per matmul weight, and 6 L S D for causal attention of S positions, less what a window of W with M sinks hides,
    (1 - r / S)^2 of it, r = min(W + M, S).
    """
    mixer = model.mixer
    block = mixer.num_params(model.width) + model.mlp.num_params(model.width)
    dense = 6.0 * (model.layers * block + model.num_ids() * model.width)
    if not isinstance(mixer, Attention):
        return dense
    seen = length if mixer.window is None else min(mixer.window + mixer.sinks, length)
    channels = mixer.heads * mixer.head_size(model.width)
    return dense + 6.0 * model.layers * channels * (length**2 - (length - seen) ** 2) / length


def state_bytes(train: Train, model: Stack) -> int:
    """Return the bytes of parameters, their copy to compute with, gradients, optimiser state and running mean."""
    precision, optim, params = train.precision, train.optim, model.num_params()
    kept, compute, reduce = (BYTES[d] for d in (precision.params, precision.compute, precision.reduce))
    found = params * (kept + max(kept, reduce))
    if not kept == compute == reduce:
        found += params * compute
    if isinstance(optim, SGD):
        found += params * kept * (optim.momentum > 0)
    elif isinstance(optim, Muon):
        maps = model.layers * (model.mixer.num_params(model.width) + model.mlp.num_params(model.width))
        found += kept * (maps + 2 * (params - maps))
    else:
        found += 2 * params * kept
    return found + (0 if train.ema is None else 4 * params)


def activation_bytes(train: Train, model: Stack, rows: int, length: int) -> int:
    """Return the bytes that `rows` examples of `length` keep for the backward pass, logits included.

    A block keeps its input and what follows each normalisation twice over, queries, keys, values, what attention gives
    and what enters the output map, and four times the width of the mlp; one that is computed again keeps its input.
    """
    size, slots, width = BYTES[train.precision.compute], rows * length, model.width
    mixer = model.mixer
    if isinstance(mixer, Attention):
        head = mixer.head_size(width)
        mixed = head * (3 * mixer.heads + 2 * mixer.kv_heads)
    else:
        mixed = 8 * width
    block = 4 * width + mixed + (4 * model.mlp.hidden if isinstance(model.mlp, SwiGLU) else 0)
    names = [f"blocks.{number}" for number in range(model.layers)]
    again = sum(any(fnmatchcase(name, pattern) for pattern in train.remat.blocks) for name in names)
    saved = width * (1 + len(train.remat.save))
    kept = (model.layers - again) * block + again * saved + (block if again else 0) + 2 * width
    logits = min(2 * 4 * slots * model.num_ids(), 2 * LOGITS_BYTES)
    return size * slots * kept + logits
