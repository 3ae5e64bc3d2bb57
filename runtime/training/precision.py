"""Precision: the dtypes in which parameters are kept, a step computes, and gradients are summed.

A step computes with copies of the parameters, as torch's fully_shard does with its MixedPrecisionPolicy, so every
layer sees one dtype. Normalisation takes its means in float32 at least, and the loss is taken of float32 logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from ...spec.train import Precision
from ..models.transformer import TransformerModel
from ..placement import Placement


@frozen
class Dtypes:
    """The dtypes of a training.

    Attributes:
        params: of parameters and optimiser state. compute: of forward and backward passes.
        reduce: of the sum of the gradients of micro-batches.
    """

    params: torch.dtype
    compute: torch.dtype
    reduce: torch.dtype

    @property
    def single(self) -> bool:
        """Whether there is one dtype for all."""
        return self.params == self.compute == self.reduce


def dtypes(spec: Precision, placement: Placement) -> Dtypes:
    """Return the dtypes that a spec names; "fp32" is the dtype of the placement."""
    names = {"fp32": placement.dtype, "bf16": torch.bfloat16}
    return Dtypes(names[spec.params], names[spec.compute], names[spec.reduce])


def parameters_in(spec: Precision, placement: Placement) -> Placement:
    """Return the placement on which the model of a training is built."""
    return evolve(placement, dtype=dtypes(spec, placement).params)


class GradientSum:
    """Sums the gradients of the micro-batches of one step."""

    def __init__(self, parameters: list[nn.Parameter], dtype: torch.dtype) -> None:
        self.parameters, self.dtype = parameters, dtype
        self.sums: list[Tensor | None] = [None] * len(parameters)

    def add(self) -> None:
        """Take the gradients of a micro-batch from the parameters."""
        for number, parameter in enumerate(self.parameters):
            grad, before = parameter.grad, self.sums[number]
            if grad is not None:
                self.sums[number] = grad.to(self.dtype) if before is None else before.add_(grad)
                parameter.grad = None


class OwnSum:
    """Leaves the sum to the parameters' own `grad`: there is one dtype."""

    def add(self) -> None:
        """Do nothing: a backward pass has added already."""


@contextmanager
def computing(model: TransformerModel, kinds: Dtypes) -> Iterator[GradientSum | OwnSum]:
    """Compute in `kinds.compute` inside; call `add` after each backward pass.

    Afterwards the parameters are as before, with the sum of the gradients, rounded to their dtype, in `grad`.
    """
    if kinds.single:
        yield OwnSum()
        return
    parameters = list(model.parameters())
    kept = [parameter.data for parameter in parameters]
    total = GradientSum(parameters, kinds.reduce)
    for parameter, data in zip(parameters, kept, strict=True):
        parameter.data = data.to(kinds.compute)
    try:
        yield total
    finally:
        for parameter, data in zip(parameters, kept, strict=True):
            parameter.grad = None
            parameter.data = data
    for parameter, found in zip(parameters, total.sums, strict=True):
        parameter.grad = None if found is None else found.to(kinds.params)


def gradient_norm(model: TransformerModel) -> Tensor:
    """Return the norm of all gradients, a scalar on their device, in float32 at least."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if all(gradient.dtype == _at_least_single(gradient) for gradient in gradients):
        return torch.nn.utils.get_total_norm(gradients)
    norms = [torch.linalg.vector_norm(gradient, dtype=_at_least_single(gradient)) for gradient in gradients]
    found: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return found


def _at_least_single(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
