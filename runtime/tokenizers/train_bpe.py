"""Training of byte-level BPE (Sennrich et al. 2016, over bytes as in Radford et al. 2019).

The next token is the byte string that two neighbouring tokens of the text, encoded so far, spell most often; of
equally frequent ones the smallest in byte order. Strings are counted rather than pairs because tiktoken merges
whatever neighbours spell a token, so that the text is always split as the finished vocabulary would split it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

from attrs import Factory, define

from .ranks import Ranks


def train_bpe(pieces: Iterable[str], size: int) -> Ranks:
    """Return the ranks of `size` tokens, fewer if the pieces give no more; bytes have ranks 0..255."""
    trainer = Trainer()
    for piece, times in Counter(pieces).items():
        trainer.lay_out(piece.encode(), times)
    trainer.push()
    while len(trainer.tokens) < size:
        best = trainer.most_frequent()
        if best is None:
            break
        trainer.add(best)
    return trainer.ranks


@define
class Trainer:
    """The distinct pieces of a text as linked tokens; a merge costs what it changes, however long a piece is.

    Attributes:
        ids: token at each place, -1 where it was merged away. before, after: places of its neighbours, -1 for none.
        times: how often the piece of a place stands in the text.
        counts: occurrences of each string that neighbours spell. places: where its left parts were seen.
        heap: (-count, string); entries whose count is no longer true are corrected when they come up.
        touched: strings whose count rose since the last push.
    """

    tokens: list[bytes] = Factory(lambda: [bytes((i,)) for i in range(256)])
    ranks: Ranks = Factory(lambda: {bytes((i,)): i for i in range(256)})
    ids: list[int] = Factory(list)
    before: list[int] = Factory(list)
    after: list[int] = Factory(list)
    times: list[int] = Factory(list)
    counts: Counter[bytes] = Factory(Counter)
    places: dict[bytes, list[int]] = Factory(dict)
    heap: list[tuple[int, bytes]] = Factory(list)
    touched: set[bytes] = Factory(set)

    def lay_out(self, piece: bytes, times: int) -> None:
        """Append a piece, if it has any bytes, as single bytes."""
        if not piece:
            return
        start, end = len(self.ids), len(self.ids) + len(piece)
        self.ids += piece
        self.before += [-1, *range(start, end - 1)]
        self.after += [*range(start + 1, end), -1]
        self.times += [times] * len(piece)
        for place in range(start, end):
            self.count(place, 1)

    def spelled(self, place: int) -> bytes | None:
        """Return what a token and the next one spell; None at the end of a piece."""
        following = self.after[place]
        return None if following < 0 else self.tokens[self.ids[place]] + self.tokens[self.ids[following]]

    def count(self, place: int, sign: int) -> None:
        """Add or take away the string at a place, if there is one."""
        text = None if place < 0 else self.spelled(place)
        if text is None:
            return
        self.counts[text] += sign * self.times[place]
        if sign > 0:
            self.places.setdefault(text, []).append(place)
            self.touched.add(text)

    def push(self) -> None:
        """Put the strings that were counted since the last time on the heap."""
        for text in self.touched:
            if text not in self.ranks:
                heapq.heappush(self.heap, (-self.counts[text], text))
        self.touched.clear()

    def most_frequent(self) -> bytes | None:
        """Take the next token's string off the heap; None if no neighbours are left."""
        while self.heap:
            negative, text = heapq.heappop(self.heap)
            true = self.counts[text]
            if text not in self.ranks and true == -negative > 0:
                return text
            if text not in self.ranks and true > 0:
                heapq.heappush(self.heap, (-true, text))
        return None

    def add(self, text: bytes) -> None:
        """Make a string a token and merge it wherever it stands, leftmost first."""
        number = self.ranks[text] = len(self.tokens)
        self.tokens.append(text)
        for place in sorted(self.places.pop(text)):
            if self.ids[place] >= 0 and self.spelled(place) == text:
                self.merge(place, number)
                self.settle(place)
        self.push()

    def merge(self, place: int, number: int) -> None:
        """Make a token and the next one one."""
        left, right = self.before[place], self.after[place]
        for changed in (left, place, right):
            self.count(changed, -1)
        following = self.after[right]
        self.ids[place], self.ids[right] = number, -1
        self.after[place] = following
        if following >= 0:
            self.before[following] = place
        for changed in (left, place):
            self.count(changed, 1)

    def settle(self, place: int) -> None:
        """Merge what a new token and its neighbours spell if that is a token already, lowest rank first."""
        while True:
            known = []
            for left in (self.before[place], place):
                text = None if left < 0 else self.spelled(left)
                if text is not None and text in self.ranks:
                    known.append((self.ranks[text], left))
            if not known:
                return
            number, place = min(known)
            self.merge(place, number)
