"""Forced runs: where only one text can follow, its tokens are known without asking the model.

The tokens are the tokenizer's own encoding of the text in its context, less a tail that a longer token could swallow
(the rule of llguidance): what a model would have said by itself, never a chopped-up spelling of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen

from ...spec.automaton import ByteAutomaton
from .lift import Bools, TokenAutomaton
from .vocabulary import Vocabulary

CONTEXT = 8
"""Tokens before the run that the encoding takes into account."""
LONGEST = 4096
"""Bytes of one run."""


@frozen(eq=False)
class ForcedRuns:
    """What must follow in each state of a constrained decoding.

    Attributes:
        only_byte: per state, the only byte that may follow, or None. only_special: the id of the only token, likewise.
        encode: the tokenizer's encoding of bytes.
    """

    lifted: TokenAutomaton
    automaton: ByteAutomaton
    vocabulary: Vocabulary
    encode: Callable[[bytes], Sequence[int]]
    only_byte: tuple[int | None, ...]
    only_special: tuple[int | None, ...]

    @property
    def forces(self) -> Bools:
        """Return bool[S]: the states in which something is forced."""
        pairs = zip(self.only_byte, self.only_special, strict=True)
        return np.array([byte is not None or special is not None for byte, special in pairs])

    def run(self, state: int, before: Sequence[int]) -> list[int]:
        """Return the tokens that must follow the tokens `before` in a state; none if there is a choice."""
        text, states = bytearray(), [state]
        while (byte := self.only_byte[states[-1]]) is not None and len(text) < LONGEST:
            text.append(byte)
            states.append(self.automaton.table[states[-1]][self.automaton.classes[byte]])
        special = self.only_special[states[-1]]
        tokens = self._encoded(bytes(text), before) if text else []
        if special is not None:
            return [*tokens, special]
        at = 0
        for number, token in enumerate(tokens):
            if self._longer(bytes(text[at:]), states[at]):
                return tokens[:number]
            at += int(self.vocabulary.lengths[token])
        return tokens

    def _encoded(self, text: bytes, before: Sequence[int]) -> list[int]:
        """Return the encoding of text behind some tokens, or on its own if they would be encoded otherwise with it."""
        context: list[int] = []
        for token in reversed(before[-CONTEXT:]):
            if not self.vocabulary.lengths[token]:
                break
            context.insert(0, token)
        for start in range(len(context)):
            kept = context[start:]
            known = b"".join(self.vocabulary.texts[token] or b"" for token in kept)
            encoded = list(self.encode(known + text))
            if encoded[: len(kept)] == kept:
                return encoded[len(kept) :]
        return list(self.encode(text))

    def _longer(self, text: bytes, state: int) -> bool:
        """Whether a token that may be sampled in `state` begins with `text` and goes on."""
        texts, ids = self.vocabulary.sorted_texts
        first = bisect_left(texts, text + b"\0")
        last = bisect_left(texts, text + b"\xff" * 256)
        columns = self.lifted.columns[ids[first:last]]
        return bool(self.lifted.allowed[self.lifted.table[state, columns]].any())


def forced_runs(
    automaton: ByteAutomaton,
    lifted: TokenAutomaton,
    vocabulary: Vocabulary,
    encode: Callable[[bytes], Sequence[int]],
) -> ForcedRuns:
    """Return the forced runs of a lifted automaton."""
    members: list[list[int]] = [[] for _ in range(automaton.num_classes)]
    for byte, byte_class in enumerate(automaton.classes):
        members[byte_class].append(byte)
    found = [_only(automaton, state, members, vocabulary) for state in range(len(automaton.table))]
    runs = tuple(byte for byte, _ in found), tuple(special for _, special in found)
    return ForcedRuns(lifted, automaton, vocabulary, encode, *runs)


def _only(
    automaton: ByteAutomaton, state: int, members: Sequence[Sequence[int]], vocabulary: Vocabulary
) -> tuple[int | None, int | None]:
    """Return the only byte, or the only special token, that may be read in a state."""
    fired = dict(automaton.moves[state])
    row = automaton.table[state]
    legal = [s for s, t in enumerate(row) if automaton.live[t] and automaton.legal[fired.get(s, 0)]]
    if len(legal) != 1:
        return None, None
    symbol = legal[0]
    if symbol < automaton.num_classes:
        return (members[symbol][0], None) if len(members[symbol]) == 1 else (None, None)
    named = symbol - automaton.num_classes
    return None, vocabulary.specials[automaton.specials[named]] if named < len(automaton.specials) else None
