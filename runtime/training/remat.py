"""Activation checkpointing: blocks keep what enters them and compute the rest again in the backward pass.

The output of a site named in `save` is kept as well: the block is cut there, and each part computed again by itself
(Chen et al. 2016, with cuts inside the block).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.train import Remat
from ..models.sites import unobserved
from ..models.transformer import Block, TransformerModel


def rematerialise(model: TransformerModel, spec: Remat) -> None:
    """Make the blocks that a spec names compute their activations again. Raises LmcError (LM0506) if it names none."""
    named: dict[str, Any] = {f"blocks.{number}": block for number, block in enumerate(model.blocks)}
    for pattern in spec.blocks:
        if not any(fnmatchcase(name, pattern) for name in named):
            help = f"blocks are blocks.0 to blocks.{len(named) - 1}"
            raise LmcError(Diagnostic("LM0506", f"the model has no block `{pattern}`", None, help=help))
    for name, block in named.items():
        if any(fnmatchcase(name, pattern) for pattern in spec.blocks):
            block.forward = _cut(block) if "mixer.out" in spec.save else _whole(block)


def _whole(block: Block) -> Callable[..., Tensor]:
    forward = block.forward

    def again(x: Tensor, context: Any, cache: Any = None) -> Tensor:
        if cache is not None or not torch.is_grad_enabled():
            return forward(x, context, cache)
        return _checkpoint(block, lambda stream: forward(stream, context), x)

    return again


def _cut(block: Block) -> Callable[..., Tensor]:
    forward = block.forward

    def again(x: Tensor, context: Any, cache: Any = None) -> Tensor:
        if cache is not None or not torch.is_grad_enabled():
            return forward(x, context, cache)
        x = _checkpoint(block, lambda stream: stream + _mixed(block, stream, context), x)
        x = _checkpoint(block, lambda stream: stream + block.mlp.out_site(block.mlp(block.mlp_norm(stream))), x)
        found: Tensor = block.out_site(x)
        return found

    return again


def _mixed(block: Block, stream: Tensor, context: Any) -> Tensor:
    found: Tensor = block.mixer.out_site(block.mixer(block.mixer_norm(stream), context, None))
    return found


def _checkpoint(block: Block, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        # What is computed again has been seen.
        return nullcontext(), unobserved(block)

    found: Tensor = checkpoint(function, x, use_reentrant=False, context_fn=contexts)
    return found
