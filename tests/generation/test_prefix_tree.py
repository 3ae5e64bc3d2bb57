"""The prefix tree: what it gives back equals reading again, it keeps what it says, and nothing twice."""

import random
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.runtime.generation.prefix_tree import Node, PrefixTree, branches
from lmc.runtime.models.build import build_model
from lmc.runtime.models.cache import ModelCache
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.spec.model import Attention, GatedRecurrence, SwiGLU, Transformer

VOCAB, WIDTH, LONGEST = 5, 8, 14
KV_BYTES = {"attention": 2 * 2 * 4 * 8, "recurrence": 0, "hybrid": 2 * 4 * 8}
"""Per position: keys and values of one head of size 4 in double precision, per layer of attention."""
STATE_BYTES = {"attention": 0, "recurrence": 2 * WIDTH * 8, "hybrid": WIDTH * 8}
"""Per node whose state is known."""
KINDS = st.sampled_from(sorted(KV_BYTES))


def grown(parts: list[tuple[int, int, list[int]]]) -> list[tuple[int, ...]]:
    """Sequences that begin as an earlier one does: its number, how much of it, and what follows."""
    found: list[tuple[int, ...]] = []
    for number, kept, rest in parts:
        earlier = found[number % len(found)] if found else ()
        found.append((*earlier[:kept], *rest)[: LONGEST - 1] or (0,))
    return found


PART = st.tuples(st.integers(0, 9), st.integers(0, LONGEST), st.lists(st.integers(0, 2), max_size=5))
TREES = st.lists(PART, max_size=14).map(grown)


@cache
def model_of(kind: str) -> TransformerModel:
    """Two layers: attention, a recurrence, or one of each."""
    placement = Placement(torch.device("cpu"), torch.float64)
    mixers = {"attention": Attention(heads=2, kv_heads=1), "recurrence": GatedRecurrence()}
    models = {
        name: build_model(Transformer(vocab=VOCAB, layers=2, width=WIDTH, mixer=m, mlp=SwiGLU(hidden=8)), placement, 3)
        for name, m in mixers.items()
    }
    if kind != "hybrid":
        return models[kind]
    models["attention"].blocks[1] = models["recurrence"].blocks[1]
    return models["attention"]


def uncached(kind: str, tokens: tuple[int, ...]) -> torch.Tensor:
    return model_of(kind)(torch.tensor([tokens]), SequenceLayout.rows([len(tokens)]))[0]


class Reader:
    """Reads sequences into row 1 of a cache, with the help of a tree."""

    def __init__(self, kind: str, budget: int | None = None) -> None:
        self.kind, self.model, self.tree = kind, model_of(kind), PrefixTree(budget)
        self.cache = self.model.new_cache(2, LONGEST)
        self.computed = 0

    @torch.no_grad()
    def read(self, tokens: tuple[int, ...], cuts: tuple[int, ...] = ()) -> tuple[int, Node]:
        """Read, compare with an uncached pass, keep; return what the tree had, and the node."""
        whole = uncached(self.kind, tokens)
        match = self.tree.match(tokens)
        match.copy_to(self.cache, 1)
        assert self.cache.lengths.tolist() == [0, match.length]
        rest = tokens[match.length :]
        self.computed += len(rest)
        logits = match.logits
        if rest:
            assert logits is None
            layout = SequenceLayout.chunk(torch.tensor([0, len(rest)]), self.cache.lengths, len(rest))
            found = self.model(torch.tensor([rest, rest]), layout, self.cache)[1]
            torch.testing.assert_close(found, whole[match.length :], rtol=0, atol=1e-12)
            logits = found[-1]
        if logits is not None:
            torch.testing.assert_close(logits, whole[-1], rtol=0, atol=1e-12)
        for cut in cuts:
            self.tree.insert(tokens[:cut], self.cache, 1)
        return match.length, self.tree.insert(tokens, self.cache, 1, logits)


class Prefixes:
    """What a tree without a budget must know, as sets of prefixes."""

    def __init__(self) -> None:
        self.all: set[tuple[int, ...]] = set()
        self.ends: set[tuple[int, ...]] = set()
        self.states: set[tuple[int, ...]] = set()

    def longest(self, tokens: tuple[int, ...], stateful: bool) -> int:
        known = self.states if stateful else self.all
        return max((n for n in range(1, len(tokens) + 1) if tokens[:n] in known), default=0)

    def insert(self, tokens: tuple[int, ...], base: int) -> None:
        branch = self.longest(tokens, stateful=False)
        self.ends |= {tokens[:branch], tokens} - {()}
        self.all |= {tokens[:n] for n in range(1, len(tokens) + 1)}
        self.states |= {end for end in self.ends if len(end) >= base and tokens[: len(end)] == end}


def nodes_of(tree: PrefixTree) -> list[Node]:
    found, waiting = [], [tree.root]
    while waiting:
        node = waiting.pop()
        for first, child in node.children.items():
            assert child.parent is node
            assert child.tokens[0] == first
            assert child.piece.start == node.end
            assert child.end == node.end + len(child.tokens)
        found.append(node)
        waiting += node.children.values()
    return found[1:]


def memory_of(tree: PrefixTree) -> int:
    """Bytes of the distinct pieces of memory that the nodes keep alive."""
    storages = {}
    for node in nodes_of(tree):
        tensors = [node.logits]
        for part in node.piece.parts:
            tensors += [getattr(part, name, None) for name in ("keys", "values", "state")]
        for tensor in tensors:
            if tensor is not None:
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values())


@settings(max_examples=60, deadline=None)
@given(KINDS, TREES, st.lists(st.sets(st.integers(1, LONGEST - 1), max_size=2), min_size=14, max_size=14))
def test_what_it_gives_equals_reading_again_and_is_as_long_as_it_can_be(
    kind: str, sequences: list[tuple[int, ...]], places: list[set[int]]
) -> None:
    reader, known, told = Reader(kind), Prefixes(), set()
    for number, tokens in enumerate(sequences):
        expected = known.longest(tokens, kind != "attention")
        cuts = tuple(cut for cut in places[number] if cut < len(tokens))
        had, node = reader.read(tokens, cuts)
        assert had == expected
        assert node.end == len(tokens)
        for part in (*(tokens[:cut] for cut in cuts), tokens):
            known.insert(part, expected)
        again = reader.tree.match(tokens)
        assert again.length == len(tokens)
        if expected < len(tokens) or tokens in told:
            told.add(tokens)
            assert again.logits is not None
        assert reader.tree.num_tokens == len(known.all)
        assert len(reader.tree) == len(nodes_of(reader.tree)) == len(known.ends)
    states = len(known.states) * STATE_BYTES[kind]
    counted = len(known.all) * KV_BYTES[kind] + states + len(told) * VOCAB * 8
    assert reader.tree.bytes == memory_of(reader.tree) == counted


@settings(max_examples=60, deadline=None)
@given(
    KINDS,
    st.integers(0, 4000),
    TREES,
    st.lists(st.sampled_from(["read", "match", "pin", "unpin"]), min_size=14, max_size=14),
)
def test_it_keeps_within_the_budget_and_never_drops_what_is_pinned(
    kind: str, budget: int, sequences: list[tuple[int, ...]], actions: list[str]
) -> None:
    reader = Reader(kind, budget)
    tree, pinned = reader.tree, []
    for tokens, action in zip(sequences, actions, strict=False):
        if action == "unpin" and pinned:
            tree.unpin(pinned.pop(len(tokens) % len(pinned))[1])
        elif action != "unpin":
            _, node = reader.read(tokens)
            kept = node.parent is not None
            if action == "pin":
                tree.pin(node)
                pinned += [(tokens, node)] if kept else []
        nodes = nodes_of(tree)
        assert all(node in nodes for _, node in pinned)
        leaves_pinned = all(node.pins for node in nodes if not node.children)
        assert tree.bytes == memory_of(tree)
        assert tree.bytes <= budget or leaves_pinned
        assert tree.num_tokens == sum(len(node.tokens) for node in nodes)
        assert len(tree) == len(nodes)
        for held, node in pinned if action == "match" else ():
            match = tree.match(held)
            assert match.length == len(held)
            assert match.node is node
    for _, node in pinned:
        tree.unpin(node)
    assert tree.bytes <= budget


@settings(max_examples=30, deadline=None)
@given(KINDS, TREES, st.randoms(use_true_random=False))
def test_of_a_known_tree_every_token_is_read_once(
    kind: str, sequences: list[tuple[int, ...]], rng: random.Random
) -> None:
    reader = Reader(kind)
    for prefix in branches(sequences):
        reader.read(prefix)
    for tokens in rng.sample(sequences, len(sequences)):
        reader.read(tokens)
    assert reader.computed == len({tokens[:n] for tokens in sequences for n in range(1, len(tokens) + 1)})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=7), max_size=10))
def test_branches_are_where_sequences_part_or_end(sequences: list[list[int]]) -> None:
    expected = set()
    for prefix in {tuple(s[:n]) for s in sequences for n in range(1, len(s) + 1)}:
        sharing = [s for s in sequences if tuple(s[: len(prefix)]) == prefix]
        behind = {tuple(s[len(prefix) : len(prefix) + 1]) for s in sharing}
        if len(sharing) > 1 and (() in behind or len(behind) > 1):
            expected.add(prefix)
    found = branches(sequences)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert all(len(a) <= len(b) for a, b in pairwise(found))


def test_a_node_keeps_the_end_of_its_span_and_its_pins_when_it_is_split() -> None:
    reader = Reader("recurrence")
    _, node = reader.read((0, 1, 2, 0))
    reader.tree.pin(node)
    _, other = reader.read((0, 1, 1))
    assert node.tokens == (2, 0)
    assert node.parent is other.parent
    assert (node.parent.tokens, node.parent.pins, node.pins) == ((0, 1), 0, 1)  # type: ignore[union-attr]
    reader.tree.budget = 0
    reader.read((1,))
    assert nodes_of(reader.tree) == [node.parent, node]
    assert other.parent is None
    reader.tree.pin(other)
    reader.tree.unpin(other)
    reader.tree.unpin(node)
    assert (reader.tree.bytes, reader.tree.num_tokens, len(reader.tree)) == (0, 0, 0)
    with pytest.raises(ValueError, match="not pinned"):
        reader.tree.unpin(node)


def test_the_leaf_that_was_used_longest_ago_goes_first_and_then_its_parent() -> None:
    reader = Reader("attention")
    a, b, c, d = ((0, 0, 0), (0, 0, 1), (1, 1, 1), (2, 2, 2))
    for tokens in (a, b, c):
        reader.read(tokens)
    reader.tree.budget = reader.tree.bytes
    reader.tree.match(a)
    reader.read(d)
    # b has one token of its own, so c goes as well.
    assert [reader.tree.match(tokens).length for tokens in (a, b, c, d)] == [3, 2, 0, 3]
    reader.tree.match(d)
    reader.tree.budget = 3 * KV_BYTES["attention"] + VOCAB * 8
    reader.read(d)
    assert [reader.tree.match(tokens).length for tokens in (a, b, c, d)] == [0, 0, 0, 3]


def test_logits_are_kept_apart_from_the_rows() -> None:
    reader, logits = Reader("attention"), torch.ones(VOCAB)
    reader.read((0, 1))
    assert reader.tree.match((0,)).logits is None
    node = reader.tree.insert((0,), reader.cache, 1)
    assert reader.tree.match((0,)).logits is None
    assert reader.tree.insert((0,), reader.cache, 1, logits) is node
    logits[:] = 0
    assert reader.tree.match((0,)).logits.tolist() == [1] * VOCAB  # type: ignore[union-attr]
    assert reader.tree.match((0, 1)).logits is not None
    assert reader.tree.match((0, 2)).logits is None


def test_nothing_is_a_prefix_too() -> None:
    reader = Reader("recurrence")
    match = reader.tree.match(())
    assert (match.length, match.pieces, match.logits) == (0, (), None)
    assert reader.tree.insert((), reader.cache, 1, torch.ones(VOCAB)) is reader.tree.root
    assert reader.tree.bytes == 0
    with pytest.raises(ValueError, match="row 1 holds 0 positions, not 2"):
        reader.tree.insert((1, 2), reader.cache, 1)


def test_deep_trees_and_long_sequences_are_no_trouble() -> None:
    tree, length = PrefixTree(), 100_000
    bare = ModelCache([], 1, length, torch.device("cpu"))
    bare.lengths[0] = length
    tokens = list(range(length))
    for end in range(1, 1200):
        tree.insert(tokens[:end], bare, 0, torch.zeros(1))
    tree.insert(tokens, bare, 0)
    assert tree.match([*tokens, 1]).length == length
    assert tree.match([*tokens[:70_000], 0]).length == 70_000
    assert (len(tree), tree.num_tokens) == (1200, length)
    tree.budget = 0
    tree.insert((), bare, 0)
    assert (len(tree), tree.num_tokens, tree.bytes) == (0, 0, 0)
