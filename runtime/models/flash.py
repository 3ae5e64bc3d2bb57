"""Causal attention in bfloat16 on CPU, compiled: torch's flash forward, and a backward pass of matrix products.

The backward kernel of torch takes several times its forward there. Matrix products over all pairs, of which causality
hides half, use the processor's units for bfloat16, and a compiler makes one pass of what lies between them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LONGEST = 512
"""Slots of a row beyond which torch's kernel, which skips what is hidden, is faster, and pairs take much memory."""


def pays(q: Tensor) -> bool:
    """Whether a causal attention of queries float[B, H, T, E] is faster by `attend_causally`; asked while compiling."""
    here = torch.compiler.is_compiling() and q.device.type == "cpu"
    return here and q.dtype == torch.bfloat16 and 1 < q.shape[2] <= LONGEST


def attend_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return bfloat16[B, H, T, E] of q bfloat16[B, H, T, E] and k, v bfloat16[B, K, T, E], where K divides H."""
    return _Causal.apply(q, k, v)  # type: ignore[no-any-return,no-untyped-call]


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, True)
        ctx.save_for_backward(q, k, v, mixed, sums)
        return mixed  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, mixed, sums = ctx.saved_tensors
        return _gradients(q, k, v, mixed, sums, upstream[0])


def _gradients(
    q: Tensor, k: Tensor, v: Tensor, mixed: Tensor, sums: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, k and v from `upstream`, that of `mixed` (Dao et al. 2022, algorithm 4, of one block).

    `sums` are float[B, H, T], for each query the logarithm of the sum of its exponentiated scores.
    """
    rows, heads, slots, size = q.shape
    groups, scale = k.shape[1], size**-0.5
    inner = (upstream.float() * mixed.float()).sum(-1, keepdim=True)
    # Queries of all heads that share a key lie side by side: [B, K, H / K * T, ...].
    q, upstream, inner, sums = (x.reshape(rows, groups, -1, x.shape[-1]) for x in (q, upstream, inner, sums[..., None]))
    keys = torch.arange(slots, dtype=torch.int32)  # of 32 bits, which are compared as fast as floats
    queries = keys if heads == groups else keys.repeat(heads // groups)
    scores = (q @ k.transpose(-1, -2)).float() * scale
    weights = torch.where(queries[:, None] >= keys, torch.exp(scores - sums), 0.0)
    to_weights = (upstream @ v.transpose(-1, -2)).float()
    to_scores = (weights * (to_weights - inner) * scale).to(q.dtype)
    to_q = (to_scores @ k).view(rows, heads, slots, size)
    return to_q, to_scores.transpose(-1, -2) @ q, weights.to(q.dtype).transpose(-1, -2) @ upstream
