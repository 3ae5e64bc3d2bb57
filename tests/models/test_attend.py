"""Every way to attend under a mask equals a softmax written out, in value and gradient."""

from __future__ import annotations

import importlib
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.masks import CPU, Case, cases, packings
from torch import Tensor

from lmc.runtime.models.attend import attend, lower, rows_of
from lmc.runtime.models.lowered import Additive, Flags, Flex, Lowered, Rows, Shape, Varlen
from lmc.runtime.models.masks import Causal, Document, Full, Mask, Memory, Prefix, Sliding, Tree
from lmc.runtime.models.spans import Spans


def written_out(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(E)) v over what is visible, in float64; zeros where nothing is."""
    k, v = (x.double().repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    weights = (q.double() @ k.mT / math.sqrt(q.shape[-1])).exp() * visible[:, None]
    return weights @ v / weights.sum(dim=-1, keepdim=True).clamp(min=1e-300)


def inputs(case: Case, heads: int, kv_heads: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(7)
    sizes = ((heads, case.queries), (kv_heads, case.keys), (kv_heads, case.keys))
    return [torch.randn(case.rows, h, length, 8, dtype=dtype, requires_grad=True) for h, length in sizes]


def check(case: Case, lowered: Lowered, heads: int = 4, kv_heads: int = 2) -> None:
    leaves = inputs(case, heads, kv_heads)
    found, expected = attend(*leaves, lowered), written_out(*leaves, case.visible())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    out = torch.randn_like(found)
    for mine, theirs in zip(
        torch.autograd.grad(found, leaves, out), torch.autograd.grad(expected, leaves, out), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_the_chosen_way_and_the_additive_mask_attend_as_written_out(case: Case) -> None:
    check(case, lower(case.mask, case.shape()))
    check(case, Additive.of(case.mask, case.shape()), heads=2)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_flex_attention_attends_as_written_out(case: Case) -> None:
    flex = importlib.import_module("torch.nn.attention.flex_attention")
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
        leaves = [x.detach() for x in inputs(case, 4, 2)]
        found = attend(*leaves, Flex.of(case.mask, case.shape()))
    torch.testing.assert_close(found, written_out(*leaves, case.visible()), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(packings(), st.sampled_from([(2, 2), (4, 2), (3, 1)]))
def test_documents_apart_attend_as_written_out(packing: tuple[Case, Tensor, Mask], heads: tuple[int, int]) -> None:
    case, ids, rest = packing
    check(case, rows_of(spans(ids), rest, case.shape()), *heads)


def spans(ids: Tensor) -> Spans:
    found = Spans.of(ids)
    assert found is not None
    return found


def documents_one_by_one(
    q: Tensor, k: Tensor, v: Tensor, starts_q: Tensor, starts_k: Tensor, longest_q: int, longest_k: int, **how: Any
) -> Tensor:
    """Stand in for `varlen_attn`: a loop over documents."""
    before, after = how["window_size"]
    assert after == 0
    assert how["enable_gqa"] == (q.shape[1] != k.shape[1])
    out, bounds = [], starts_q.tolist()
    assert starts_k is starts_q
    assert bounds[-1] == len(q)
    assert longest_q == longest_k == max(end - start for start, end in pairwise(bounds))
    for start, end in pairwise(bounds):
        visible = torch.ones(1, end - start, end - start).tril()
        visible = visible if before < 0 else visible.triu(-before)
        document = [x[None, start:end].transpose(1, 2) for x in (q, k, v)]
        out.append(written_out(*document, visible)[0].transpose(0, 1))
    return torch.cat(out)


@settings(deadline=None, max_examples=60)
@given(packings())
def test_variable_length_attention_is_told_the_documents(packing: tuple[Case, Tensor, Mask]) -> None:
    case, ids, rest = packing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmc.runtime.models.lowered.varlen_attn", documents_one_by_one)
        check(case, Varlen.of(spans(ids), rest, case.shape()))


IDS = torch.tensor([[0] * 100 + [1] * 100 + [-1] * 56], dtype=torch.int32)


@pytest.mark.parametrize(
    ("mask", "past", "expected"),
    [
        (Full(), None, Flags(causal=False)),
        (Full(), 3, Flags(causal=False)),
        (Causal(), None, Flags(causal=True)),
        (Causal() & Sliding(256), None, Flags(causal=True)),
        (Causal() & Sliding(255), None, Additive),
        (Causal(), 3, Additive),
        (Causal() | Memory(256), None, Flags(causal=False)),
        (Causal() & Document(torch.zeros(1, 256, dtype=torch.int32)), None, Flags(causal=True)),
        (Causal() | Memory(255), None, Additive),
        (Causal() & Document(IDS, IDS.flip(1)), None, Additive),
        (Causal() & Document(IDS), None, Rows),
        (Causal() & Document(IDS) & Sliding(8), None, Rows),
        (Document(IDS), None, Additive),
        ((Causal() & Document(IDS)) | Memory(2), None, Additive),
        (Causal() & Document((torch.arange(256) >= 1)[None].int()), None, Additive),
        (Causal() & Document(torch.arange(256)[None] % 2), None, Additive),
    ],
)
def test_the_way_is_chosen_from_the_mask_and_the_sizes(mask: Mask, past: int | None, expected: Any) -> None:
    before = None if past is None else torch.tensor([past])
    found = lower(mask, Shape(1, 256, 256, torch.float32, CPU, before))
    assert found == expected if isinstance(expected, Flags) else isinstance(found, expected)


def test_a_document_does_not_move_another_by_a_bit() -> None:
    case = Case(("and", ("document", IDS.tolist(), None), ("causal",)), 1, 256, 256, None)
    check(case, lower(case.mask, case.shape()))
    leaves = inputs(case, 4, 2, torch.float32)
    changed = [x.detach().clone() for x in leaves]
    for x in changed:
        x[:, :, :100] = torch.randn_like(x[:, :, :100])
        x.requires_grad_()
    lowered = lower(case.mask, case.shape(torch.float32))
    assert isinstance(lowered, Rows)
    before, after = attend(*leaves, lowered), attend(*changed, lowered)
    assert not torch.equal(before[:, :, :100], after[:, :, :100])
    assert torch.equal(before[:, :, 100:], after[:, :, 100:])
    gradients = (
        torch.autograd.grad((out[:, :, 100:] ** 2).sum(), xs) for out, xs in ((before, leaves), (after, changed))
    )
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.equal(mine, theirs)
        assert not mine[:, :, :100].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("blind", [Memory(0), Document(torch.full((2, 5), -1)) & Causal(), Sliding(1) & Memory(2)])
def test_padding_and_blind_queries_are_finite(blind: Mask, dtype: torch.dtype) -> None:
    case = Case((), 2, 5, 5, None)
    leaves = inputs(case, 2, 1, dtype)
    for lowered in (lower(blind, case.shape(dtype)), Additive.of(blind, case.shape(dtype))):
        assert not isinstance(lowered, Additive) or lowered.bias.isfinite().any(dim=-1).all()
        out = attend(*leaves, lowered)
        assert out.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), leaves))


def test_new_documents_need_no_new_code() -> None:
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        graphs.append(1)
        return graph.forward

    flex = importlib.import_module("torch.nn.attention.flex_attention").flex_attention
    torch._dynamo.reset()
    flex_compiled = torch.compile(flex, backend=backend, fullgraph=True)
    past = torch.tensor([3, 5])
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr("lmc.runtime.models.lowered._flex", lambda compiled: flex_compiled)
        for _ in range(3):
            documents = torch.randint(0, 3, (2, 48)).sort().values
            tree = Tree(torch.tensor([[-1, *(i // 2 for i in range(39))]] * 2))
            for mask in ((Causal() & Document(documents[:, 8:], documents)) | Memory(2), tree & Sliding(9)):
                case = Case((), 2, 40, 48, past.tolist())
                leaves = [x.detach() for x in inputs(case, 4, 2)]
                found = attend(*leaves, Flex.of(mask, case.shape()))
                visible = mask.dense(2, 40, 48, past, CPU)
                torch.testing.assert_close(found, written_out(*leaves, visible), rtol=0, atol=1e-12)
    assert len(graphs) == 2


GPU_MASKS = {
    "documents": lambda ids: Causal() & Document(ids),
    "window": lambda ids: Causal() & Document(ids) & Sliding(50),
    "memory": lambda ids: (Causal() & Document(ids)) | Memory(3),
    "prefix": lambda ids: Prefix(ids.new_tensor([17, 130])),
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", list(GPU_MASKS))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-2), (torch.float32, 1e-4)])
def test_a_gpu_attends_as_written_out(name: str, dtype: torch.dtype, tolerance: float) -> None:
    cuda, generator = torch.device("cuda"), torch.Generator().manual_seed(3)
    ids = IDS.repeat(2, 1).to(cuda)
    mask = GPU_MASKS[name](ids)
    shape = Shape(2, 256, 256, dtype, cuda)
    lowered = lower(mask, shape)
    apart = dtype == torch.bfloat16 and name in ("documents", "window")
    assert isinstance(lowered, Varlen if apart else Flex)
    visible = mask.dense(2, 256, 256, None, cuda)
    leaves = [
        torch.randn(2, heads, 256, 64, generator=generator).to(cuda, dtype).requires_grad_() for heads in (4, 2, 2)
    ]
    exact = [x.detach().double().requires_grad_() for x in leaves]
    found, expected = attend(*leaves, lowered), written_out(*exact, visible)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
    mine = torch.autograd.grad(found.float().sum(), leaves)
    theirs = torch.autograd.grad(expected.sum(), exact)
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left.double(), right, rtol=0, atol=10 * tolerance)
