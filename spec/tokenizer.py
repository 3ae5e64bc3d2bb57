"""Tokenizers."""

from __future__ import annotations

from attrs import frozen

from .schema import option, variant


@variant("tokenizer", "byte")
@frozen(kw_only=True)
class ByteTokenizer:
    """One token per UTF-8 byte (ids 0..255), then the declared special tokens in order."""

    specials: tuple[str, ...] = option("Special tokens, numbered from 256 in this order.", default=())

    @property
    def vocab(self) -> int:
        """Number of token ids."""
        return 256 + len(self.specials)
