"""One id per byte."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Tokenizer, numbered


class Bytes(Tokenizer):
    """Ids 0..255 are the bytes of UTF-8, then come the special tokens."""

    def __init__(self, specials: Sequence[str]) -> None:
        super().__init__([bytes((i,)) for i in range(256)], numbered(specials, {}, 256))

    def encode(self, text: str) -> list[int]:
        """Return the ids of ordinary text; the spelling of a special token stays text."""
        return list(text.encode())

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of bytes."""
        return list(data)
