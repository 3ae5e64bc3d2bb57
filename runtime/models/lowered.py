"""Ways to attend under a mask, each of them made once per forward pass and shared by all layers.

All mean softmax(q k^T / sqrt(E)) v over the keys that the mask shows. A query that sees no key gets zeros.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache, lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from . import flash
from .masks import And, Mask, Seen, Sliding
from .reach import fall
from .spans import Groups, Spans

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

varlen_attn: Any
try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    varlen_attn = None
HAS_VARLEN = varlen_attn is not None and {"window_size", "enable_gqa"} <= signature(varlen_attn).parameters.keys()


@frozen(eq=False)
class Shape:
    """What the attention of one forward pass has in common in all layers.

    Attributes:
        rows: B. queries: T, slots of q. keys: S, slots of k and v. head_size: E.
        dtype: of q, k and v. device: where they lie.
        past: int64[B], position of each row's first query; None for 0 in all, which faster ways than a mask need.
        slopes: float[H], what scores fall by per position, for which there is only the mask; None for nothing.
        positions: int64[B, T], of slots that are queries and keys, where they do not count the slots of documents.
    """

    rows: int
    queries: int
    keys: int
    dtype: torch.dtype
    device: torch.device
    past: Tensor | None = None
    head_size: int = 64
    slopes: Tensor | None = None
    positions: Tensor | None = None

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """Positions of queries and keys, int64[B or 1, T] and int64[B or 1, S], up to a number for each document."""
        if self.positions is not None:
            return self.positions, self.positions
        queries, keys = (torch.arange(size, device=self.device)[None] for size in (self.queries, self.keys))
        return queries if self.past is None else self.past[:, None] + queries, keys


class Lowered(ABC):
    """A way to compute attention under one mask, shared by all layers of a forward pass."""

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E] of q float[B, H, T, E] and k, v float[B, K, S, E], where K divides H."""


def _sdpa(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1], **how)


@frozen
class Flags(Lowered):
    """SDPA without a mask.

    Attributes:
        causal: whether a query sees only the keys that are not after it; both count from 0.
    """

    causal: bool

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E]."""
        if self.causal and flash.pays(q):
            return flash.attend_causally(q, k, v)
        return _sdpa(q, k, v, is_causal=self.causal)


@frozen(eq=False)
class Additive(Lowered):
    """SDPA with a dense mask that is added to the scores; on CPU this is faster than a boolean one.

    Attributes:
        bias: float[B or 1, 1 or H, T, S], 0 or what scores fall by, or -inf.
        empty: bool[B or 1, 1, T, 1], queries that see no key; None where there are surely none.
    """

    bias: Tensor
    empty: Tensor | None = None

    @staticmethod
    def of(mask: Mask, shape: Shape) -> Additive:
        """Write the mask out."""
        visible = mask.dense(shape.rows, shape.queries, shape.keys, shape.past, shape.device)[:, None]
        sure = Seen.FIRST if shape.past is not None or shape.queries > shape.keys else Seen.FIRST | Seen.ITSELF
        empty = None
        if not mask.seen & sure:
            # Softmax of nothing is NaN in some kernels: such a query looks at everything, and what it finds is dropped.
            empty = ~visible.any(dim=-1, keepdim=True)
            visible = visible | empty
            if shape.device.type == "cpu" and not bool(empty.any()):
                empty = None
        if shape.slopes is None:
            bias = torch.zeros(visible.shape, dtype=shape.dtype, device=shape.device)
        else:
            bias = fall(shape.slopes, *shape.places, shape.dtype).expand(len(visible), -1, -1, -1)
            return Additive(bias.masked_fill(~visible, -torch.inf), empty)
        return Additive(bias.masked_fill_(~visible, -torch.inf), empty)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E]."""
        mixed = _sdpa(q, k, v, attn_mask=self.bias)
        return mixed if self.empty is None else mixed.masked_fill(self.empty, 0)


@frozen(eq=False)
class Rows(Lowered):
    """Each document in a padded row of its own, for attention only.

    Attributes:
        groups: where the documents lie. inner: how each group attends.
    """

    groups: Groups
    inner: tuple[Lowered, ...]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E]."""
        taken = zip(self.inner, *(self.groups.take(_flat(x)) for x in (q, k, v)), strict=True)
        mixed = [inner.attend(*(x.transpose(1, 2) for x in group)).transpose(1, 2) for inner, *group in taken]
        return _unflat(self.groups.put(mixed), q.shape[0])


def _flat(x: Tensor) -> Tensor:
    """Return [B * T, H, E] of [B, H, T, E]."""
    return x.transpose(1, 2).flatten(0, 1)


def _unflat(x: Tensor, rows: int) -> Tensor:
    """Return [B, H, T, E] of [B * T, H, E]."""
    return x.view(rows, -1, *x.shape[1:]).transpose(1, 2)


@frozen(eq=False)
class Varlen(Lowered):
    """Variable-length flash attention on CUDA: documents lie side by side, nothing is copied.

    Attributes:
        bounds: int32[n + 1], first slot of each document among the B * T, and B * T.
        longest: length of the longest document. window: keys before a query that it sees, -1 for all.
    """

    bounds: Tensor
    longest: int
    window: int

    @staticmethod
    def of(spans: Spans, rest: Mask, shape: Shape) -> Varlen:
        """Take the documents' bounds, and the window if there is one."""
        windows = [part.window for part in rest.parts if isinstance(part, Sliding)] if isinstance(rest, And) else []
        end = spans.starts.new_tensor([shape.rows * shape.queries])
        bounds = torch.cat((spans.starts, end)).to(torch.int32)
        return Varlen(bounds, int(spans.lengths.max()), min(windows, default=0) - 1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E]."""
        mixed = varlen_attn(
            *(_flat(x) for x in (q, k, v)),
            self.bounds,
            self.bounds,
            self.longest,
            self.longest,
            window_size=(self.window, 0),
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return _unflat(mixed, q.shape[0])


@frozen(eq=False)
class Flex(Lowered):
    """FlexAttention with a block mask (Dong et al. 2024): blocks that the mask hides are skipped.

    Attributes:
        blocks: which blocks of 128 x 128 pairs are hidden, shown or in between.
    """

    blocks: BlockMask

    @staticmethod
    def of(mask: Mask, shape: Shape) -> Flex:
        """Find the blocks; those of a mask that depends on no tensor are remembered."""
        if mask.static and shape.past is None:
            return Flex(_static_blocks(mask, shape.queries, shape.keys, shape.device))
        return Flex(_blocks(mask, shape.past, shape.rows, shape.queries, shape.keys, shape.device))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return float[B, H, T, E]; on CPU without gradients."""
        flex = _flex(compiled=q.is_cuda)
        return flex(q, k, v, block_mask=self.blocks, enable_gqa=q.shape[1] != k.shape[1])  # type: ignore[no-any-return]


def _blocks(
    mask: Mask, past: Tensor | None, rows: int | None, queries: int, keys: int, device: torch.device
) -> BlockMask:
    from torch.nn.attention.flex_attention import create_block_mask

    return create_block_mask(mask.mask_mod(past), rows, None, queries, keys, device=str(device))


@lru_cache(maxsize=32)
def _static_blocks(mask: Mask, queries: int, keys: int, device: torch.device) -> BlockMask:
    with torch.inference_mode(False):  # what evaluation finds, training may save for its gradients
        return _blocks(mask, None, None, queries, keys, device)


@cache
def _flex(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention) if compiled else flex_attention
