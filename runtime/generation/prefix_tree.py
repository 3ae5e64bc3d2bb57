"""A tree of token prefixes that keeps what a model's caches hold of them, so that no shared prefix is read twice.

After RadixAttention (Zheng et al. 2024, section 3), with a state of recurrent layers at the end of a node: keys and
values can be cut anywhere, a state only where one was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import count, pairwise

from attrs import Factory, define, frozen
from torch import Tensor

from ..models.cache import ModelCache
from ..models.pieces import ModelPiece

Tokens = tuple[int, ...]
"""Token ids."""


@define(eq=False, repr=False)
class Node:
    """The end of a span of tokens behind its parent.

    Attributes:
        tokens: the span. piece: what caches hold of it.
        parent: None of the root, and of a node that was evicted. children: by their first token.
        logits: float[V] of the token behind the span, if they were kept.
        pins: who needs it. used: when it was last used, by a counter. queued: whether it waits to be evicted.
    """

    tokens: Tokens
    piece: ModelPiece
    parent: Node | None
    children: dict[int, Node] = Factory(dict)
    logits: Tensor | None = None
    pins: int = 0
    used: int = 0
    queued: bool = False

    @property
    def end(self) -> int:
        """Tokens from the root to here."""
        return self.piece.end

    @property
    def num_bytes(self) -> int:
        """Bytes of keys, values, states and logits."""
        return self.piece.num_bytes + (0 if self.logits is None else self.logits.nbytes)


@frozen(eq=False)
class Match:
    """The longest prefix of some tokens that a row can be given and go on from.

    Attributes:
        length: tokens of the prefix. pieces: what caches hold of it, in order. node: the node that it ends at or in.
        logits: float[V] of the token behind it, if the prefix is all of the tokens and they were kept.
    """

    length: int
    pieces: tuple[ModelPiece, ...]
    node: Node
    logits: Tensor | None

    def copy_to(self, cache: ModelCache, row: int) -> None:
        """Make a row of a cache hold the prefix and nothing else. Raises ValueError beyond the capacity."""
        cache.reset(row)
        cache.restore(row, *self.pieces)


class PrefixTree:
    """What caches hold of token prefixes, within a budget.

    Attributes:
        budget: most bytes that are kept; more only for pinned nodes and their ancestors; None for no limit.
        bytes: of keys, values, states and logits that are kept. num_tokens: tokens of all spans.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self.root = Node((), ModelPiece(0, 0, ()), None)
        self.bytes, self.num_tokens, self._nodes = 0, 0, 0
        self._clock = count(1)
        self._inserting = False
        # Each leaf that may go is queued once, under a use that is its last one or an earlier one.
        self._leaves: list[tuple[int, Node]] = []

    def __len__(self) -> int:
        """Return the number of nodes, without the root."""
        return self._nodes

    def match(self, tokens: Sequence[int]) -> Match:
        """Return the longest prefix of `tokens` that can be restored, and count it as used."""
        tokens = tuple(tokens)
        path, inside, common = self._walk(tokens)
        pieces = [node.piece for node in path]
        if inside is not None:
            path.append(inside)
            pieces.append(inside.piece.first(common))
        while pieces and not pieces[-1].whole:
            path.pop()
            pieces.pop()
        self._use(path)
        node = path[-1] if path else self.root
        length = pieces[-1].end if pieces else 0
        return Match(length, tuple(pieces), node, node.logits if node.end == length == len(tokens) else None)

    def insert(self, tokens: Sequence[int], cache: ModelCache, row: int, logits: Tensor | None = None) -> Node:
        """Keep what a row of a cache holds of its first tokens, as far as the tree lacks it.

        Raises ValueError if the row is shorter.

        Args:
            tokens: the tokens of the row's first positions.
            cache: copied from, not changed.
            row: of the cache; a state that the tree lacks on the way is taken if the row still knows it.
            logits: float[V] of the token behind them.
        """
        tokens = tuple(tokens)
        if len(tokens) > int(cache.lengths[row]):
            raise ValueError(f"row {row} holds {int(cache.lengths[row])} positions, not {len(tokens)}")
        self._inserting = True
        try:
            return self._insert(tokens, cache, row, logits)
        finally:
            self._inserting = False
            self._evict()

    def _insert(self, tokens: Tokens, cache: ModelCache, row: int, logits: Tensor | None) -> Node:
        path, inside, common = self._walk(tokens)
        if inside is not None:
            path.append(self._split(inside, common))
        node = path[-1] if path else self.root
        for known in path:
            if not known.piece.whole:
                self._hold(known, cache.fill(row, known.piece))
        if node.end < len(tokens):
            node = self._add(node, tokens[node.end :], cache.snapshot(row, node.end, len(tokens)))
            path.append(node)
        if logits is not None and node.logits is None and node is not self.root:
            node.logits = logits.detach().clone()
            self.bytes += node.logits.nbytes
        self._use(path)
        self._queue(node)
        return node

    def pin(self, node: Node) -> None:
        """Keep a node of the tree, and so its ancestors, until it is unpinned as often."""
        node.pins += 1

    def unpin(self, node: Node) -> None:
        """Let go of a node. Raises ValueError if it is not pinned."""
        if not node.pins:
            raise ValueError("the node is not pinned")
        node.pins -= 1
        self._queue(node)
        # A pin may be let go of by the garbage collector, in the midst of an insertion, which evicts at its end.
        if not self._inserting:
            self._evict()

    def _walk(self, tokens: Tokens) -> tuple[list[Node], Node | None, int]:
        """Return the nodes whose whole spans lead along `tokens`, then the one left midway and after how many."""
        path: list[Node] = []
        node, at = self.root, 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                break
            common = common_length(child.tokens, tokens[at : at + len(child.tokens)])
            if common < len(child.tokens):
                return path, child, common
            path.append(child)
            node, at = child, at + common
        return path, None, 0

    def _use(self, path: Iterable[Node]) -> None:
        for node in path:
            node.used = next(self._clock)

    def _hold(self, node: Node, piece: ModelPiece) -> None:
        self.bytes += piece.num_bytes - node.piece.num_bytes
        node.piece = piece

    def _add(self, parent: Node, tokens: Tokens, piece: ModelPiece) -> Node:
        node = Node(tokens, piece, parent)
        parent.children[tokens[0]] = node
        self.bytes += piece.num_bytes
        self.num_tokens += len(tokens)
        self._nodes += 1
        return node

    def _split(self, node: Node, at: int) -> Node:
        """Return a new node for the first `at` tokens of a node's span; the node itself keeps the others."""
        parent = node.parent
        assert parent is not None
        left, right = node.piece.split(at)
        self._hold(node, right)
        self.num_tokens -= at
        upper = self._add(parent, node.tokens[:at], left)
        node.tokens, node.parent = node.tokens[at:], upper
        upper.children[node.tokens[0]] = node
        return upper

    def _queue(self, node: Node) -> None:
        if node.parent is not None and not (node.children or node.pins or node.queued):
            node.queued = True
            heappush(self._leaves, (node.used, node))

    def _evict(self) -> None:
        """Drop leaves that nobody needs, least recently used first, until the rest fits."""
        while self.budget is not None and self.bytes > self.budget and self._leaves:
            used, node = heappop(self._leaves)
            node.queued = False
            if node.children or node.pins or node.used > used:
                self._queue(node)
                continue
            parent = node.parent
            assert parent is not None
            del parent.children[node.tokens[0]]
            node.parent = None
            self.bytes -= node.num_bytes
            self.num_tokens -= len(node.tokens)
            self._nodes -= 1
            self._queue(parent)


def branches(sequences: Iterable[Sequence[int]]) -> list[Tokens]:
    """Return the prefixes shared by two or more sequences at which they part or one of them ends, shortest first.

    A sequence that is given twice is such a prefix; the empty one is not.
    """
    # In sorted order, whatever two sequences share is shared by the neighbours between them.
    found = {a[: common_length(a, b)] for a, b in pairwise(sorted(map(tuple, sequences)))}
    return sorted(found - {()}, key=lambda prefix: (len(prefix), prefix))


def common_length(a: Tokens, b: Tokens) -> int:
    """Return how many tokens `a` and `b` share from the start on, by comparing slices."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
