"""A layout's mask reaches attention: a trie in one row equals its paths, and a prefix sees itself whole."""

import torch
from attrs import evolve

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.masks import Causal, Prefix, Tree
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, SwiGLU, Transformer

SPEC = Transformer(vocab=37, layers=2, width=16, mixer=Attention(heads=4, kv_heads=2), mlp=SwiGLU(hidden=24))
PATHS = [(3, 1, 4, 1, 5), (3, 1, 4, 9), (3, 1, 2), (7, 7)]


def trie() -> tuple[list[int], list[int], dict[tuple[int, ...], int]]:
    """Tokens, parent slots and the slot of every prefix of the paths, parents first."""
    tokens, parents, slots = [], [], {}
    for path in PATHS:
        for end in range(1, len(path) + 1):
            if path[:end] not in slots:
                slots[path[:end]] = len(tokens)
                tokens.append(path[end - 1])
                parents.append(slots.get(path[: end - 1], -1))
    return tokens, parents, slots


def test_a_trie_in_one_row_equals_its_paths_forward_and_backward(exact: Placement) -> None:
    model = build_model(SPEC, exact, 1)
    tokens, parents, slots = trie()
    depths = torch.tensor([[len(prefix) - 1 for prefix in slots]])
    layout = evolve(
        SequenceLayout.rows([len(tokens)]), positions=depths, mask=Tree(torch.tensor([parents])), packed=True
    )
    ends = [slots[path] for path in PATHS]
    together = model(torch.tensor([tokens]), layout)[0, ends]
    together.logsumexp(-1).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    apart = torch.stack([model(torch.tensor([path]), SequenceLayout.rows([len(path)]))[0, -1] for path in PATHS])
    apart.logsumexp(-1).sum().backward()
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-12)


def test_a_prefix_sees_itself_whole_and_what_follows_is_causal(exact: Placement) -> None:
    model = build_model(SPEC, exact, 1)
    tokens = torch.randint(0, 37, (2, 9), generator=torch.Generator().manual_seed(0))
    layout = evolve(SequenceLayout.rows([9, 9]), mask=Prefix(torch.tensor([4, 0])))
    before = model(tokens, layout)
    inside, behind = tokens.clone(), tokens.clone()
    inside[0, 3] = (inside[0, 3] + 1) % 37
    behind[0, 4] = (behind[0, 4] + 1) % 37
    assert not torch.equal(model(inside, layout)[0, 0], before[0, 0])
    assert torch.equal(model(behind, layout)[0, :4], before[0, :4])
    causal = model(tokens, evolve(layout, mask=Causal()))
    torch.testing.assert_close(before[1], causal[1], rtol=0, atol=1e-12)
