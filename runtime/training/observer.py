"""Observers: what may look at a training. None may change one bit of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from attrs import Factory, define

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


@define
class Watch:
    """The observers of a training. One that fails is let go with a warning: what only looks ends no training."""

    observers: list[Observer]
    warn: Callable[[str], None]
    due: list[Observer] = Factory(list)

    def before(self, step: int, last: int, model: TransformerModel) -> None:
        """Let the observers that are due look before a step of `last`."""
        self.due = [observer for observer in self.observers if observer.due(step, last)]
        for observer in list(self.due):
            self._look(observer, partial(observer.before, step, model), model)

    def after(self, step: int, model: TransformerModel) -> None:
        """Let them look after it."""
        for observer in list(self.due):
            self._look(observer, partial(observer.after, step, model), model)

    def _look(self, observer: Observer, look: Callable[[], None], model: TransformerModel) -> None:
        try:
            with undisturbed(model):
                look()
        except Exception as error:
            for group in (self.observers, self.due):
                group[:] = [other for other in group if other is not observer]
            self.warn(f"{type(observer).__name__} failed at a step and looks no further: {error}")
