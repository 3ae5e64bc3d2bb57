"""Observers: what may look at a training. None may change one bit of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

from ..models.transformer import TransformerModel


class Observer(Protocol):
    """Looks at steps of a training."""

    def due(self, step: int, last: int) -> bool:
        """Whether to look at 1-based `step` of `last`."""

    def before(self, step: int, model: TransformerModel) -> None:
        """Look at the model before the step; hooks may be placed here."""

    def after(self, step: int, model: TransformerModel) -> None:
        """Look at the model after the update; hooks must be gone when this returns."""


@contextmanager
def undisturbed(model: TransformerModel) -> Iterator[None]:
    """Restore torch's random state and the model's mode afterwards."""
    state, mode = torch.get_rng_state(), model.training
    try:
        yield
    finally:
        torch.set_rng_state(state)
        model.train(mode)
