"""What every tokenizer is: ids stand for bytes, and ordinary text never makes a special token."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.tokenizer import MARK


class Tokenizer(ABC):
    """Text to ids and back; vocabulary and specials never change.

    Attributes:
        specials: id of each declared special token by spelling, in the order of the declaration.
    """

    def __init__(self, texts: Sequence[bytes | None], specials: Mapping[str, int]) -> None:
        """Take the bytes of each text id, None for unused ones; specials may lie among these or beyond."""
        self.specials = dict(specials)
        size = max([len(texts), *(number + 1 for number in self.specials.values())])
        self._vocabulary = [*texts, *[None] * (size - len(texts))]
        for number in self.specials.values():
            self._vocabulary[number] = None

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the canonical ids of ordinary text; the spelling of a special token stays text."""

    @abstractmethod
    def encode_bytes(self, data: bytes) -> list[int]:
        """Return ids that stand for exactly these bytes, UTF-8 or not; canonical ones where those do."""

    def encode_next(self, text: str) -> list[int]:
        """Return the canonical ids of ordinary text that follows a special token."""
        return self.encode(text)

    @property
    def vocab_size(self) -> int:
        """Number of ids, unused ones included."""
        return len(self._vocabulary)

    def pieces(self, text: str) -> list[str | int]:
        """Return text split at the spellings of declared special tokens: ordinary text, and ids of specials.

        Raises LmcError (LM0609) for an undeclared `<|...|>`.
        """
        found: list[str | int] = []
        at = 0
        for mark in self._marks.finditer(text):
            if mark.group() not in self.specials:
                declared = ", ".join(self.specials) or "none"
                message = f"`{mark.group()}` is no special token of the tokenizer"
                raise LmcError(Diagnostic("LM0609", message, None, help=f"declared are {declared}"))
            found += [text[at : mark.start()], self.specials[mark.group()]]
            at = mark.end()
        return [piece for piece in (*found, text[at:]) if piece != ""]

    def encode_pieces(self, pieces: Iterable[str | int], *, start: bool = True) -> list[int]:
        """Return the ids of ordinary texts and special tokens; texts that touch are encoded as one.

        `start` says whether they begin a text rather than go on after a special token.
        """
        ids: list[int] = []
        text = ""
        for piece in (*pieces, None):
            if isinstance(piece, str):
                text += piece
                continue
            if text:
                ids += self.encode(text) if start and not ids else self.encode_next(text)
                text = ""
            if piece is not None:
                ids.append(piece)
        return ids

    def encode_marked(self, text: str) -> list[int]:
        """Return the ids of text in which the spelling of a declared special token is that token.

        Raises LmcError (LM0609) for an undeclared `<|...|>`.
        """
        return self.encode_pieces(self.pieces(text))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; a special token gives its spelling, an unused id nothing."""
        return b"".join(self._spelled(number) for number in ids)

    def text_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; special tokens and unused ids give nothing."""
        size, vocabulary = len(self._vocabulary), self._vocabulary
        return b"".join(vocabulary[number] or b"" for number in ids if number < size)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, specials as spelled; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def vocabulary(self) -> list[bytes | None]:
        """Return the bytes of each id, None for special tokens and unused ids; not to be changed."""
        return self._vocabulary

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return int32[V], the bytes that each id stands for; 0 for special tokens and unused ids."""
        return self._byte_lengths

    def digest(self) -> str:
        """Return the SHA-256 of vocabulary and special tokens in hex."""
        return self._digest

    def _spelled(self, number: int) -> bytes:
        if number >= len(self._vocabulary):
            return b""
        text = self._vocabulary[number]
        return self._spellings.get(number, b"") if text is None else text

    @cached_property
    def _marks(self) -> re.Pattern[str]:
        spellings = sorted(self.specials, key=len, reverse=True)
        return re.compile("|".join([*map(re.escape, spellings), MARK]))

    @cached_property
    def _spellings(self) -> dict[int, bytes]:
        return {number: spelling.encode() for spelling, number in self.specials.items()}

    @cached_property
    def _byte_lengths(self) -> npt.NDArray[np.int32]:
        lengths = np.array([len(text or b"") for text in self._vocabulary], dtype=np.int32)
        lengths.flags.writeable = False
        return lengths

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256()
        for text in self._vocabulary:
            found.update(b"-" if text is None else b"%d:" % len(text) + text)
        for spelling, number in sorted(self.specials.items()):
            found.update(b"%d=%s\0" % (number, spelling.encode()))
        return found.hexdigest()


def numbered(specials: Sequence[str], own: Mapping[str, int], start: int) -> dict[str, int]:
    """Return the ids of declared specials: their own where they have one, others from `start` in order."""
    fresh = iter(range(start, start + len(specials)))
    return {spelling: own[spelling] if spelling in own else next(fresh) for spelling in specials}
