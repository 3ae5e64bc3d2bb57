"""Documents become token ids, a part at a time.

A long document is cut only where its tokens cannot depend on what stands on the other side, so the ids are those of
the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from attrs import frozen

from ..tokenizers.base import Tokenizer
from ..tokenizers.byte import Bytes
from ..tokenizers.splits import SPLIT_PATTERNS
from ..tokenizers.tiktoken_bpe import TiktokenBpe
from .token_file import Tokens, id_type

PART = 1 << 24
"""Characters of one part, about."""

_SEAM = re.compile(r"(?<=[!-~]\n)(?=[A-Za-z0-9])")
"""Where every published split pattern ends a piece, and no look-ahead sees across."""


@frozen
class Piece:
    """A document, or a piece of a long one; `last` if it ends the document."""

    text: str
    last: bool = True


def tokenise(pieces: Iterable[Piece], tokenizer: Tokenizer, end: int | None) -> Tokens:
    """Return the ids of pieces, `end` behind each document unless it is None."""
    kind = id_type(tokenizer.vocab_size)
    arrays = [np.empty(0, dtype=kind)]
    documents = text_bytes = 0
    stop = np.array([] if end is None else [end], dtype=kind)
    for piece in pieces:
        if isinstance(tokenizer, Bytes):
            data = piece.text.encode()
            arrays.append(np.frombuffer(data, dtype=np.uint8).astype(kind))
            text_bytes += len(data)
        else:
            arrays.append(np.array(tokenizer.encode(piece.text), dtype=kind))
            text_bytes += len(piece.text.encode())
        if piece.last:
            arrays.append(stop)
            documents += 1
    return Tokens(np.concatenate(arrays), documents, text_bytes)


def parts_of(documents: Iterable[str], tokenizer: Tokenizer, size: int = PART) -> Iterator[list[Piece]]:
    """Yield documents in parts of about `size` characters; the same for the same documents."""
    part: list[Piece] = []
    held = 0
    for document in documents:
        for piece in cut(document, tokenizer, size):
            part.append(piece)
            held += len(piece.text)
            if held >= size:
                yield part
                part, held = [], 0
    if part:
        yield part


def cut(text: str, tokenizer: Tokenizer, size: int) -> Iterator[Piece]:
    """Yield the pieces of a document, of `size` characters or more; all of it where no cut is known to be safe."""
    at = 0
    while len(text) - at > 2 * size and _cuttable(tokenizer):
        seam = _SEAM.search(text, at + size)
        if seam is None:
            break
        yield Piece(text[at : seam.start()], last=False)
        at = seam.start()
    yield Piece(text[at:] if at else text)


def _cuttable(tokenizer: Tokenizer) -> bool:
    if isinstance(tokenizer, TiktokenBpe):
        return tokenizer._encoding._pat_str in SPLIT_PATTERNS.values()
    return isinstance(tokenizer, Bytes)
