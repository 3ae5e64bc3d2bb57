"""A small gated linear recurrence, h_t = f_t h_(t-1) + (1 - f_t) v_t; y_t = o(g_t h_t).

It exists so that caches and layouts are tested on a layer that holds state instead of keys and values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...spec.model import GatedRecurrence as GatedRecurrenceSpec
from ..registry import builds
from .cache import StateCache
from .context import Context
from .layers import Linear


@builds(GatedRecurrenceSpec)
class GatedRecurrence(nn.Module):
    """Mix positions by a state per channel that each document starts at zero."""

    def __init__(self, spec: GatedRecurrenceSpec, width: int) -> None:
        super().__init__()
        self.value = Linear(width, width)
        self.forget = Linear(width, width)
        self.gate = Linear(width, width)
        self.o = Linear(width, width)

    def new_cache(self, rows: int, capacity: int, device: torch.device | None = None) -> StateCache:
        """Return an empty cache on `device` (default: the weights')."""
        weight = self.o.weight
        return StateCache(rows, capacity, weight.shape[0], device or weight.device, weight.dtype)

    def forward(self, x: Tensor, context: Context, cache: StateCache | None = None) -> Tensor:
        """Mix float[B, T, D] along T; with a cache, each row goes on from its state and the new states are appended."""
        value, forget = self.value(x), torch.sigmoid(self.forget(x))
        starts, spread = context.layout.positions == 0, context.layout.spread
        if spread is not None:
            value, forget, starts = spread.rows(value), spread.rows(forget), spread.rows(starts)
        state = torch.zeros_like(value[:, 0]) if cache is None else cache.last(context.past)
        states = []
        for t in range(value.shape[1]):
            state = torch.where(starts[:, t, None], 0.0, state)
            state = forget[:, t] * state + (1 - forget[:, t]) * value[:, t]
            states.append(state)
        history = torch.stack(states, dim=1)
        if spread is not None:
            history = spread.packed(history)
        if cache is not None:
            cache.append(history, context.slots)
        return self.o(torch.sigmoid(self.gate(x)) * history)  # type: ignore[no-any-return]
