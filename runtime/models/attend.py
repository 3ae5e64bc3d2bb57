"""Attention under a mask: `lower` chooses once per forward pass how, `attend` does it in every layer."""

from __future__ import annotations

import torch
from torch import Tensor

from .lowered import HAS_VARLEN, Additive, Flags, Flex, Lowered, Rows, Shape, Varlen
from .masks import And, Causal, Document, Full, Mask, Memory, Parts, Sliding, intersection, union
from .reach import Near
from .spans import Groups, Spans

# Time of a layer in units of one (query, key) pair under an additive mask, fitted by `benchmarks/bench_masks.py`; the
# same forward and with backward, and both sides grow with the heads and their size.
CAUSAL_PAIR = 0.65  # a pair of a document in a row of its own; hidden ones count, though SDPA skips some of them
MOVED_SLOT = 180.0  # carrying q, k and v of a slot there and its output back


def attend(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered) -> Tensor:
    """Return float[B, H, T, E] of q float[B, H, T, E] and k, v float[B, K, S, E], where K divides H."""
    return lowered.attend(q, k, v)


def lower(mask: Mask, shape: Shape) -> Lowered:
    """Choose how to attend: flags of SDPA, documents apart, FlexAttention on CUDA, an additive mask.

    Rows that continue a cache never decide it by their lengths, so that a row's bits do not depend on its neighbours.
    """
    mask = _fit(mask, shape)
    even = shape.slopes is None
    if even and isinstance(mask, Full):
        return Flags(causal=False)
    if even and isinstance(mask, Causal) and shape.past is None:
        return Flags(causal=True)
    within = causal_in_documents(mask)
    if within is not None and shape.past is None and shape.queries == shape.keys and shape.positions is None:
        apart = _documents_apart(*within, shape)
        if apart is not None:
            return apart
    return Flex.of(mask, shape) if even and _flexible(shape) else Additive.of(mask, shape)


def causal_in_documents(mask: Mask) -> tuple[Document, Mask] | None:
    """Return the document mask and the rest, if it is causal, or within a window: as in a row of its own."""
    parts = mask.parts if isinstance(mask, And) else ()
    documents = [part for part in parts if isinstance(part, Document) and part.keys is None]
    rest = [part for part in parts if isinstance(part, (Causal, Sliding)) or (isinstance(part, Near) and part.counted)]
    if len(documents) != 1 or Causal() not in rest or len(documents) + len(rest) != len(parts):
        return None
    return documents[0], intersection(part.apart if isinstance(part, Near) else part for part in rest)


def _fit(mask: Mask, shape: Shape) -> Mask:
    """Simplify a mask at these sizes: a window wider than the row and a memory of all keys hide nothing."""
    if isinstance(mask, Parts):
        parts = [_fit(part, shape) for part in mask.parts]
        return intersection(parts) if isinstance(mask, And) else union(parts)
    wide = False
    if isinstance(mask, Sliding) or (isinstance(mask, Near) and mask.counted):
        wide = shape.past is None and mask.window >= shape.queries
    return Full() if wide or (isinstance(mask, Memory) and mask.columns >= shape.keys) else mask


def _documents_apart(documents: Document, rest: Mask, shape: Shape) -> Lowered | None:
    spans = Spans.of(documents.ids)
    if spans is None:
        return None
    if len(spans.lengths) == shape.rows:
        return lower(rest, shape)
    if shape.device.type == "cuda":
        return Varlen.of(spans, rest, shape) if _flash(shape) and _runs(rest) and shape.slopes is None else None
    rows = rows_of(spans, rest, shape)
    return rows if _cost(rows) < shape.rows * shape.queries * shape.keys else None


def _runs(rest: Mask) -> bool:
    """Whether the keys that a query sees lie side by side, as a window without sinks has them."""
    return isinstance(rest, Causal) or all(isinstance(part, (Causal, Sliding)) for part in getattr(rest, "parts", ()))


def _flexible(shape: Shape) -> bool:
    # With fewer queries than a block of FlexAttention there is little to skip.
    known = shape.device.type == "cuda" and shape.dtype != torch.float64
    return known and shape.queries >= 128 and shape.head_size >= 16


def _flash(shape: Shape) -> bool:
    fits = shape.dtype in (torch.float16, torch.bfloat16) and shape.head_size % 8 == 0 and shape.head_size <= 256
    return HAS_VARLEN and fits and torch.cuda.get_device_capability(shape.device) >= (8, 0)


def rows_of(spans: Spans, rest: Mask, shape: Shape) -> Rows:
    """Group the documents by length, and lower what is left of the mask for each group."""
    groups = Groups.of(spans)
    inner = (Shape(n, width, width, shape.dtype, shape.device, slopes=shape.slopes) for n, width in groups.sizes)
    return Rows(groups, tuple(lower(rest, group) for group in inner))


def _cost(rows: Rows) -> float:
    """Return the time of a layer, in pairs under an additive mask."""
    pairs = sum(n * width**2 for n, width in rows.groups.sizes)
    return CAUSAL_PAIR * pairs + MOVED_SLOT * len(rows.groups.places)
