"""Tokenizers of every kind over a small text, made as a run makes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.build import build_tokenizer, trained_tokenizer
from lmc.runtime.tokenizers.ranks import write_ranks
from lmc.runtime.tokenizers.splits import split, split_pattern
from lmc.runtime.tokenizers.train_bpe import train_bpe
from lmc.spec.tokenizer import BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from lmc.spec.units import FilePath, Pattern

from .made import SPECIALS, TEXT, byte_level, sentence_piece


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="session")
def trained(folder: Path) -> tuple[BpeTokenizer, Path]:
    """A BPE spec and the vocabulary that training it gave."""
    spec = BpeTokenizer(size=400, source=FilePath("book.txt"), specials=SPECIALS)
    path = folder / "vocabulary.tiktoken"
    write_ranks(path, train_bpe(split(split_pattern(spec.pattern), TEXT), spec.size))
    return spec, path


KINDS: dict[str, Callable[[Path], Any]] = {
    "byte": lambda path: None,
    "bpe": lambda path: None,
    "tiktoken": lambda path: None,
    "hf-bytes": byte_level,
    "hf-never": lambda path: sentence_piece(path, "never"),
    "hf-first": lambda path: sentence_piece(path, "first"),
    "hf-always": lambda path: sentence_piece(path, "normalizer"),
}


@pytest.fixture(scope="session", params=KINDS)
def any_tokenizer(request: pytest.FixtureRequest, folder: Path, trained: tuple[BpeTokenizer, Path]) -> Tokenizer:
    """A tokenizer of each kind, with the same declared specials."""
    kind = request.param
    path = folder / f"{kind}.json"
    KINDS[kind](path)
    if kind == "byte":
        return build_tokenizer(ByteTokenizer(specials=SPECIALS))
    if kind == "bpe":
        return trained_tokenizer(*trained)
    if kind == "tiktoken":
        spec = TiktokenTokenizer(file=FilePath(trained[1].name), pattern=Pattern("o200k"), specials=SPECIALS)
        return build_tokenizer(spec, folder)
    return build_tokenizer(HfTokenizer(file=FilePath(path.name), specials=SPECIALS), folder)
