"""Probes as observers: statistics of what passes through sites, forward or backward, on due steps only.

Sums, sums of squares and largest values are merged over the micro-batches of a step, padding included.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from attrs import Factory, asdict, define, frozen
from torch import Tensor, nn

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.probe import ActivationsProbe, GradientsProbe
from ...spec.records import Recording
from ..models.transformer import TransformerModel


@define
class Accumulator:
    """Merges the statistics of several tensors."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    def add(self, values: Tensor) -> None:
        """Take a tensor in, in float64."""
        values = values.detach().double()
        self.count += values.numel()
        self.total += float(values.sum())
        self.squares += float(values.square().sum())
        self.largest = max(self.largest, float(values.abs().max()))

    def stats(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return the statistics of that name."""
        found = {
            "mean": self.total / self.count,
            "rms": (self.squares / self.count) ** 0.5,
            "absmax": self.largest,
        }
        return {name: found[name] for name in names}


def select(sites: dict[str, nn.Module], patterns: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the sites that patterns name. Raises LmcError (LM0506) for a pattern that names none."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in sites):
            near = difflib.get_close_matches(pattern, sites, 1)
            help = f"did you mean `{near[0]}`?" if near else f"sites are {', '.join(sites)}"
            raise LmcError(Diagnostic("LM0506", f"the model has no site `{pattern}`", None, help=help))
    return {name: site for name, site in sites.items() if any(fnmatchcase(name, p) for p in patterns)}


@frozen
class ProbeObserver:
    """Records a probe while a training runs."""

    spec: ActivationsProbe | GradientsProbe
    write: Callable[[dict[str, Any]], None]
    hooks: list[torch.utils.hooks.RemovableHandle] = Factory(list)
    found: dict[str, Accumulator] = Factory(dict)

    def due(self, step: int, last: int) -> bool:
        """Whether to record this step."""
        return step % self.spec.every == 0 or step == 1

    def before(self, step: int, model: TransformerModel) -> None:
        """Place hooks on the sites."""
        self.found.clear()
        for name, site in select(model.sites(), self.spec.at).items():
            self.hooks.append(site.register_forward_hook(self._hook(name)))

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        backward = isinstance(self.spec, GradientsProbe)

        def forward(module: nn.Module, args: Any, output: Tensor) -> None:
            accumulator = self.found.setdefault(name, Accumulator())
            if not backward:
                accumulator.add(output)
            elif output.requires_grad:
                output.register_hook(accumulator.add)  # type: ignore[no-untyped-call]

        return forward

    def after(self, step: int, model: TransformerModel) -> None:
        """Remove the hooks and write a line per site."""
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()
        for name, accumulator in self.found.items():
            if accumulator.count:
                recording = Recording(step=step, module=name, stats=accumulator.stats(self.spec.reduce))
                self.write(asdict(recording))
        self.found.clear()
