"""Tokenizers: text to ids and back. A special token is never made from ordinary text by `encode`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import Factory, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.tokenizer import ByteTokenizer

MARK = re.compile(r"<\|[^|<>\s]+\|>")


@frozen
class Tokenizer:
    """One id per UTF-8 byte, then special tokens.

    Attributes:
        specials: id of each special token by spelling.
    """

    specials: dict[str, int]
    spellings: dict[int, str] = Factory(lambda self: {v: k for k, v in self.specials.items()}, takes_self=True)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return 256 + len(self.specials)

    def encode(self, text: str) -> list[int]:
        """Return the ids of ordinary text; the spelling of a special token stays text."""
        return list(text.encode())

    def encode_bytes(self, text: bytes) -> list[int]:
        """Return the ids of bytes."""
        return list(text)

    def encode_marked(self, text: str) -> list[int]:
        """Return the ids of text in which the spelling of a declared special token is that token.

        Raises LmcError (LM0609) for an undeclared `<|...|>`.
        """
        ids: list[int] = []
        at = 0
        for mark in MARK.finditer(text):
            if mark.group() not in self.specials:
                declared = ", ".join(self.specials) or "none"
                message = f"`{mark.group()}` is no special token of the tokenizer"
                raise LmcError(Diagnostic("LM0609", message, None, help=f"declared are {declared}"))
            ids += self.encode(text[at : mark.start()])
            ids.append(self.specials[mark.group()])
            at = mark.end()
        return ids + self.encode(text[at:])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; a special token gives its spelling."""
        return b"".join(bytes((i,)) if i < 256 else self.spellings[i].encode() for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def vocabulary(self) -> list[bytes | None]:
        """Return the bytes of each id, None for special tokens."""
        return [*(bytes((i,)) for i in range(256)), *(None for _ in self.specials)]


def build_tokenizer(spec: ByteTokenizer) -> Tokenizer:
    """Return the tokenizer of a spec."""
    return Tokenizer({spelling: 256 + i for i, spelling in enumerate(spec.specials)})
