"""Words as they come: text of a continuation that can be shown at once and never has to be taken back."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

from ..generation.requests import Finished, Happening, Replied, Said


class Words:
    """The text of one continuation, piece by piece.

    Shown are whole characters only, and nothing that may still turn out to be the beginning of a stop string.

    Attributes:
        start: tokens of the transcript before those that are being said.
    """

    def __init__(self, spell: Callable[[Sequence[int]], bytes], stop: Sequence[str] = (), start: int = 0) -> None:
        """Take what spells tokens, the stop strings of the request, and the length of a prompt that is not shown."""
        self.spell, self.stop, self.start = spell, [text.encode() for text in stop], start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._count = self._shown = 0
        self._data = bytearray()

    def given(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens that the model did not say, such as a prompt."""
        self.start += self._count + len(tokens)
        self._count, self._shown, self._data = 0, 0, bytearray()
        return self._decoder.decode(self.spell(tokens))

    def heard(self, happening: Happening) -> str:
        """Return the text that can be shown now that this has happened to the request."""
        if isinstance(happening, Said):
            self._count += len(happening.tokens)
            self._data += self.spell(happening.tokens)
            return self._show(self._sure())
        if isinstance(happening, Finished):
            self._data = bytearray(self.spell(happening.transcript.tokens[self.start :]))
            return self._show(len(self._data), final=True)
        if isinstance(happening, Replied):
            return self.given(happening.tokens)
        return self._show(len(self._data))

    def _sure(self) -> int:
        """Return how many bytes can be no part of a stop string."""
        end = len(self._data)
        for text in self.stop:
            at = self._data.find(text, self._shown)
            if at < 0:
                at = next(
                    (
                        at
                        for at in range(max(self._shown, len(self._data) - len(text) + 1), len(self._data))
                        if text.startswith(self._data[at:])
                    ),
                    len(self._data),
                )
            end = min(end, at)
        return end

    def _show(self, end: int, *, final: bool = False) -> str:
        fresh = bytes(self._data[self._shown : end])
        self._shown = max(self._shown, end)
        return self._decoder.decode(fresh, final)
