"""Log-probabilities of given continuations: each prompt is read once, its other continuations go on from a cache.

A batch is made of prompts of about one length. Each is read with its longest continuation behind it; then the rows of
a cache are cut back to the prompts, and take the other continuations as chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from attrs import frozen
from torch import Tensor

from ..models.cache import ModelCache
from ..models.layout import SequenceLayout
from ..models.transformer import TransformerModel

Tokens = tuple[int, ...]
Scored = dict[tuple[Tokens, Tokens], tuple[float, ...]]
MOST_LOGITS = 2**24
"""Logits that are held at once."""


@frozen
class Group:
    """A prompt and its distinct continuations, the longest first; none is empty."""

    prompt: Tokens
    continuations: tuple[Tokens, ...]

    @property
    def length(self) -> int:
        """Tokens that are read of the prompt and its longest continuation; nothing follows the last."""
        return len(self.prompt) + len(self.continuations[0]) - 1

    @property
    def others(self) -> int:
        """Continuations behind the first, each a row of a cache."""
        return len(self.continuations) - 1


@torch.inference_mode()
def score(
    model: TransformerModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], budget: int = 8192
) -> list[tuple[float, ...]]:
    """Return the log-probability of each token of each continuation, given everything before it.

    Args:
        model: whose distribution it is, as it is.
        pairs: prompts and continuations, token ids; equal prompts are read once.
        budget: most slots, padding included, of a forward pass, and of a cache unless one row alone needs more.

    Returns:
        In the order of the pairs, in nats; of an empty continuation ().

    Raises:
        ValueError: for an empty prompt, an id that the model lacks, a text beyond its positions; the message says
            which pair.
    """
    given = [(tuple(prompt), tuple(continuation)) for prompt, continuation in pairs]
    _check(given, model.spec.num_ids(), model.spec.longest)
    if budget < 1:
        raise ValueError("a forward pass has at least one slot")
    scored: Scored = dict.fromkeys(given, ())
    for batch in batches(_grouped(given), budget):
        scored |= _Batch(model, batch, budget).score()
    return [scored[pair] for pair in given]


def _check(pairs: Sequence[tuple[Tokens, Tokens]], num_ids: int, longest: int | None) -> None:
    for number, (prompt, continuation) in enumerate(pairs):
        if not prompt:
            raise ValueError(f"pair {number}: a prompt needs at least one token")
        if longest is not None and len(prompt) + len(continuation) > longest + 1:  # nothing follows the last
            message = f"{len(prompt) + len(continuation)} tokens; the model has learned {longest} positions"
            raise ValueError(f"pair {number}: {message}")
        for token in (*prompt, *continuation):
            if not 0 <= token < num_ids:
                raise ValueError(f"pair {number}: token {token} is not among the model's {num_ids} ids")


def _grouped(pairs: Sequence[tuple[Tokens, Tokens]]) -> list[Group]:
    found: dict[Tokens, dict[Tokens, None]] = {}
    for prompt, continuation in pairs:
        if continuation:
            found.setdefault(prompt, {})[continuation] = None
    return [Group(prompt, tuple(sorted(own, key=len, reverse=True))) for prompt, own in found.items()]


def batches(groups: Sequence[Group], budget: int) -> Iterator[list[Group]]:
    """Yield groups to be scored together, longest first.

    Either all have one continuation, or all have more. Every row has a capacity of the longest one, at least three
    quarters of which each group fills, and all rows together of at most `budget` slots; a group beyond is alone.
    """
    batch: list[Group] = []
    rows = 0
    for group in sorted(groups, key=lambda group: (group.others > 0, -group.length)):
        own = max(1, group.others)
        if batch:
            first = batch[0]
            alike = (group.others > 0) == (first.others > 0) and 4 * group.length >= 3 * first.length
            if not alike or (rows + own) * first.length > budget:
                yield batch
                batch, rows = [], 0
        batch.append(group)
        rows += own
    if batch:
        yield batch


class _Batch:
    """Groups whose prompts are read side by side.

    Attributes:
        others: continuations behind the first of their group, with its number; each goes on from a row of the cache.
        rows: rows of the cache; fewer than `others` only where there is one group.
    """

    def __init__(self, model: TransformerModel, groups: Sequence[Group], budget: int) -> None:
        self.model, self.groups, self.budget, self.capacity = model, groups, budget, groups[0].length
        self.others = [(number, c) for number, group in enumerate(groups) for c in group.continuations[1:]]
        self.rows = min(len(self.others), max(1, budget // self.capacity))

    def score(self) -> Scored:
        """Return the log-probabilities of every continuation of every group."""
        owners = [number for number, _ in self.others[: self.rows]]
        firsts = [owners.index(number) for number in range(len(self.groups))] if owners else [0]
        cache = part = None
        if owners or self.capacity > self.budget:
            cache = self.model.new_cache(max(1, self.rows), self.capacity)
            part = cache.select(torch.tensor(firsts, device=cache.lengths.device))
        chosen = [(group.prompt, group.continuations[0]) for group in self.groups]
        hidden = _read(self.model, [prompt + c[:-1] for prompt, c in chosen], part, self.budget)
        needed = [x[len(prompt) - 1 :][: len(c)] for x, (prompt, c) in zip(hidden, chosen, strict=True)]
        scored = dict(zip(chosen, _log_probs(self.model, needed, [c for _, c in chosen]), strict=True))
        if cache is not None and owners:
            ends = [x[:1] for x in needed]
            for number, first in enumerate(firsts):
                cache.truncate(first, len(self.groups[number].prompt))
            for row, number in enumerate(owners):
                if row != firsts[number]:
                    cache.fork(firsts[number], row)
            for at in range(0, len(self.others), self.rows):
                scored |= self._wave(self.others[at : at + self.rows], ends, cache)
        return scored

    def _wave(self, wave: Sequence[tuple[int, Tokens]], ends: Sequence[Tensor], cache: ModelCache) -> Scored:
        """Score a continuation per row of a cache of prompts, and leave the prompts alone in it.

        `ends` are the hidden states float[1, D] of the last tokens of the prompts.
        """
        texts = [c[:-1] for _, c in wave] + [()] * (self.rows - len(wave))
        hidden = _read(self.model, texts, cache, self.budget)
        needed = [torch.cat((ends[number], x[: len(c) - 1])) for x, (number, c) in zip(hidden, wave, strict=False)]
        for row, (number, _) in enumerate(wave):
            cache.truncate(row, len(self.groups[number].prompt))
        chosen = [(self.groups[number].prompt, c) for number, c in wave]
        return dict(zip(chosen, _log_probs(self.model, needed, [c for _, c in wave]), strict=True))


def _read(model: TransformerModel, texts: Sequence[Tokens], cache: ModelCache | None, budget: int) -> Tensor:
    """Return the hidden states float[n, T, D] of n texts, ragged, behind what the rows of a cache hold.

    Texts of more than `budget` slots are read in pieces, which takes a cache.
    """
    weight = model.embed.weight
    parts = [weight.new_empty(len(texts), 0, weight.shape[1])]
    width, piece = max(map(len, texts)), max(1, budget // len(texts))
    for at in range(0, width, piece):
        chunk = [text[at : at + piece] for text in texts]
        longest = min(piece, width - at)
        tokens = torch.tensor([text + (0,) * (longest - len(text)) for text in chunk], device=weight.device)
        lengths = torch.tensor([len(text) for text in chunk], device=weight.device)
        past = torch.zeros_like(lengths) if cache is None else cache.lengths
        parts.append(model.hidden(tokens, SequenceLayout.chunk(lengths, past, longest), cache))
    return torch.cat(parts, dim=1)


def _log_probs(model: TransformerModel, hidden: Sequence[Tensor], texts: Sequence[Tokens]) -> list[tuple[float, ...]]:
    """Return the log-probabilities of n texts, each from the hidden states float[T, D] before its tokens."""
    states = torch.cat(list(hidden))
    targets = torch.tensor([token for text in texts for token in text], device=states.device)
    size, found = max(1, MOST_LOGITS // model.spec.num_ids()), []
    for x, target in zip(torch.split(states, size), torch.split(targets, size), strict=True):
        logits = model.head(x)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        found.append(logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(dim=1))
    flat = iter(torch.cat(found).tolist())
    return [tuple(next(flat) for _ in text) for text in texts]
