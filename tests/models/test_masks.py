"""Masks mean what their definitions say, and stay small."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.masks import CPU, Case, atoms, cases, grow

from lmc.runtime.models.masks import And, Causal, Document, Full, Memory, Or, Prefix, Seen, Sliding, Tree


@settings(deadline=None, max_examples=300)
@given(cases())
def test_the_dense_mask_is_what_the_definitions_say(case: Case) -> None:
    found = case.mask.dense(case.rows, case.queries, case.keys, case.shape().past, CPU)
    assert found.shape[0] in (1, case.rows)
    assert torch.equal(found.expand(case.rows, -1, -1), case.visible())


@settings(deadline=None, max_examples=200)
@given(cases(), st.data())
def test_what_is_said_to_lie_within_and_to_be_seen_does(case: Case, data: st.DataObject) -> None:
    square = case.past is None and case.queries == case.keys
    grown = grow(atoms(case.rows, case.queries, case.keys, square), 2)
    other = Case(data.draw(grown), case.rows, case.queries, case.keys, case.past)
    mine, theirs = case.visible(), other.visible()
    assert not case.mask.within(other.mask) or not bool((mine & ~theirs).any())
    if Seen.FIRST in case.mask.seen:
        assert bool(mine[:, :, 0].all())
    if Seen.ITSELF in case.mask.seen and square:
        assert bool(mine.diagonal(dim1=1, dim2=2).all())


def test_masks_are_kept_flat_and_small() -> None:
    causal, full, nothing = Causal(), Full(), Memory(0)
    documents, prefix = Document(torch.tensor([[0, 0, 1, -1]])), Prefix(torch.tensor([2]))
    tree = Tree(torch.tensor([[-1, 0, 0, 1]]))
    equal = [
        (causal & full, causal),
        (full & full, full),
        (documents | full, full),
        (nothing | documents, documents),
        (nothing & documents, nothing),
        (causal & causal, causal),
        (causal & prefix, causal),
        (causal | prefix, prefix),
        (tree & causal, tree),
        (Sliding(3) & causal & Sliding(2), And((causal, Sliding(2)))),
        (Sliding(3) | Sliding(2), Sliding(3)),
        (Memory(1) | Memory(4), Memory(4)),
        ((causal & documents) & (causal & documents), And((causal, documents))),
        ((causal & documents) | causal, causal),
        ((documents | causal) & causal, causal),
        ((Memory(1) | documents) | (Sliding(2) | Memory(2)), Or((documents, Sliding(2), Memory(2)))),
    ]
    for found, expected in equal:
        assert found == expected


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="before their children"):
        Tree(torch.tensor([[1, -1]])).mask_mod()
    with pytest.raises(ValueError, match=r"Document\.keys"):
        (Document(torch.zeros(1, 2)) & Causal()).dense(1, 2, 4, torch.tensor([2]), CPU)
    with pytest.raises(ValueError, match="window"):
        Sliding(0)
