"""Causal attention of a compiled step in bfloat16: value and gradients are those of a softmax written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lmc.runtime.models import flash
from lmc.runtime.models.lowered import Flags

SHAPES = [(2, 4, 4, 7, 8), (1, 6, 2, 33, 16), (3, 2, 1, 64, 8), (1, 3, 3, 2, 16)]


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v


def leaves(rows: int, heads: int, groups: int, slots: int, size: int, dtype: torch.dtype) -> list[Tensor]:
    """Draw q, k and v with the strides that a linear map leaves them with."""
    torch.manual_seed(slots)
    drawn = [torch.randn(rows, slots, n, size).to(dtype).transpose(1, 2) for n in (heads, groups, groups)]
    return [x.requires_grad_() for x in drawn]


def gradients(out: Tensor, of: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(out.shape, generator=generator).to(out.dtype)
    return [out, *torch.autograd.grad(out, of, upstream)]


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_are_those_of_a_softmax_written_out(shape: tuple[int, int, int, int, int]) -> None:
    inputs = leaves(*shape, torch.float32)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    found, expected = gradients(flash.attend_causally(*inputs), inputs), gradients(written_out(*exact), exact)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_bfloat16_it_is_as_exact_as_torch(shape: tuple[int, int, int, int, int]) -> None:
    inputs = leaves(*shape, torch.bfloat16)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    expected = gradients(written_out(*exact), exact)
    mine = gradients(flash.attend_causally(*inputs), inputs)
    torchs = gradients(Flags(causal=True).attend(*inputs), inputs)
    for own, other, true in zip(mine, torchs, expected, strict=True):
        allowed = max(2 * (other.double() - true).norm().item(), 1e-2 * true.norm().item())
        assert (own.double() - true).norm().item() <= allowed


@pytest.mark.parametrize(
    ("dtype", "slots", "expected"),
    [(torch.bfloat16, 256, True), (torch.float32, 256, False), (torch.bfloat16, flash.LONGEST + 1, False)],
)
def test_only_short_rows_of_bfloat16_take_it_and_only_compiled(
    dtype: torch.dtype, slots: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = torch.empty(1, 1, slots, 8, dtype=dtype)
    assert not flash.pays(q)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert flash.pays(q) == expected
