"""From a spec to a tokenizer that needs no training."""

from __future__ import annotations

from pathlib import Path

from ...spec.tokenizer import BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from ..inputs import existing
from .base import Tokenizer
from .byte import Bytes
from .hf import HfLibrary, download, read_file
from .ranks import read_ranks
from .splits import split_pattern
from .tiktoken_bpe import TiktokenBpe, encoding_of, load_encoding


def build_tokenizer(spec: ByteTokenizer | TiktokenTokenizer | HfTokenizer, root: Path = Path()) -> Tokenizer:
    """Return the tokenizer of a spec; paths are relative to `root`.

    Raises LmcError: LM0701 for a missing file, LM0702 for a damaged one, LM0706 for a split pattern, LM0707 for
    what cannot be downloaded, LM0708 for a tokenizer of another kind, LM0709 for a library that is not installed.
    """
    if isinstance(spec, ByteTokenizer):
        return Bytes(spec.specials)
    if isinstance(spec, TiktokenTokenizer):
        return _tiktoken(spec, root)
    if spec.repo is not None:
        return HfLibrary(read_file(download(spec.repo, spec.commit or spec.revision)), spec.specials, spec.repo)
    assert spec.file is not None
    return HfLibrary(read_file(existing(root / spec.file)), spec.specials, spec.file)


def _tiktoken(spec: TiktokenTokenizer, root: Path) -> Tokenizer:
    if spec.encoding is not None:
        return TiktokenBpe(load_encoding(spec.encoding), spec.specials)
    assert spec.file is not None
    assert spec.pattern is not None
    ranks = read_ranks(existing(root / spec.file))
    return TiktokenBpe(encoding_of(ranks, split_pattern(spec.pattern)), spec.specials)


def trained_tokenizer(spec: BpeTokenizer, vocabulary: Path) -> Tokenizer:
    """Return the tokenizer of a trained vocabulary. Raises LmcError: LM0701 or LM0702 for its file."""
    encoding = encoding_of(read_ranks(existing(vocabulary)), split_pattern(spec.pattern))
    return TiktokenBpe(encoding, spec.specials, spec.size)
