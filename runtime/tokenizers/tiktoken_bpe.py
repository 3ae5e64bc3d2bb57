"""Byte-level BPE as the tiktoken library applies it: named encodings, and ranks from a file or a training."""

from __future__ import annotations

from collections.abc import Sequence

import tiktoken

from ...spec.diagnostic import Diagnostic, LmcError
from .base import Tokenizer, numbered
from .ranks import Ranks
from .splits import unreadable


class TiktokenBpe(Tokenizer):
    """An encoding of tiktoken with the specials that were declared; its other ones are unused ids."""

    def __init__(self, encoding: tiktoken.Encoding, specials: Sequence[str], size: int = 0) -> None:
        """Take an encoding; fresh specials are numbered from `size`, or after its last id if that is higher."""
        own = {spelling: encoding.encode_single_token(spelling) for spelling in encoding.special_tokens_set}
        texts: list[bytes | None] = [None] * max(size, encoding.n_vocab)
        for token in encoding.token_byte_values():
            texts[encoding.encode_single_token(token)] = token
        super().__init__(texts, numbered(specials, own, len(texts)))
        self._encoding = encoding

    def encode(self, text: str) -> list[int]:
        """Return the ids of ordinary text as the library gives them; the spelling of a special token stays text."""
        return self._encoding.encode_ordinary(text)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return ids that stand for exactly these bytes; the library's for UTF-8."""
        return self._encoding._encode_bytes(data)


def load_encoding(name: str) -> tiktoken.Encoding:
    """Return a published encoding from the library's cache or the net. Raises LmcError (LM0707) if neither has it."""
    try:
        return tiktoken.get_encoding(name)
    except (OSError, ValueError, ImportError, AssertionError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        message = f"the encoding `{name}` cannot be loaded: {reason}"
        help = "load it once with a connection (tiktoken keeps it in TIKTOKEN_CACHE_DIR), or give its file"
        raise LmcError(Diagnostic("LM0707", message, None, help=help)) from error


def encoding_of(ranks: Ranks, pattern: str) -> tiktoken.Encoding:
    """Return an encoding without specials of its own. Raises LmcError (LM0706) for a pattern that it cannot read."""
    try:
        return tiktoken.Encoding("lmc", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    except ValueError as error:
        raise unreadable(str(error)) from error
