"""Trained BPE against a re-telling of its definition, and its file against the library that reads it."""

import base64
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from lmc.runtime.tokenizers.build import build_tokenizer, trained_tokenizer
from lmc.runtime.tokenizers.ranks import Ranks, read_ranks, write_ranks
from lmc.runtime.tokenizers.splits import SPLIT_PATTERNS, split, split_pattern
from lmc.runtime.tokenizers.tiktoken_bpe import encoding_of
from lmc.runtime.tokenizers.train_bpe import train_bpe
from lmc.spec.diagnostic import LmcError
from lmc.spec.tokenizer import SPLITS, BpeTokenizer, TiktokenTokenizer
from lmc.spec.units import FilePath, Pattern

from .made import SPECIALS, TEXT

LETTERS = st.text("ab é", min_size=0, max_size=14)


def encoded(ranks: Ranks, piece: bytes) -> list[bytes]:
    """The tokens of a piece: the neighbours of lowest rank merge, leftmost first, until none can."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        spelled = [left + right for left, right in pairwise(parts)]
        known = [ranks[text] for text in spelled if text in ranks]
        if not known:
            return parts
        at = next(i for i, text in enumerate(spelled) if ranks.get(text) == min(known))
        parts[at : at + 2] = [spelled[at]]


def reference(pieces: list[str], size: int) -> Ranks:
    """Encode everything, count what neighbours spell, add the most frequent, smallest first among equals."""
    ranks = {bytes((i,)): i for i in range(256)}
    while len(ranks) < size:
        counts: Counter[bytes] = Counter()
        for piece in pieces:
            parts = encoded(ranks, piece.encode())
            counts.update(left + right for left, right in pairwise(parts))
        if not counts:
            break
        ranks[min(counts, key=lambda text: (-counts[text], text))] = len(ranks)
    return ranks


@settings(deadline=None)
@given(st.lists(LETTERS, max_size=12), st.integers(256, 290))
def test_training_is_what_the_definition_says(pieces: list[str], size: int) -> None:
    assert train_bpe(pieces, size) == reference(pieces, size)


def test_training_on_prose_is_what_the_definition_says() -> None:
    pieces = split(SPLIT_PATTERNS["gpt2"], TEXT[: len(TEXT) // 8])
    assert train_bpe(pieces, 330) == reference(pieces, 330)


def test_a_string_with_two_ways_to_be_spelled_is_one_token() -> None:
    """abc comes first from a + bc; later ab + c must merge into it at once, as the encoder merges it."""
    pieces = ["abc"] * 3 + ["xbc"] * 9 + ["abd"] * 8 + ["dabcd"] * 2
    ranks = train_bpe(pieces, 300)
    assert ranks == reference(pieces, 300)
    assert len(set(ranks)) == len(set(ranks.values())) == len(ranks)


def test_equal_counts_are_decided_by_byte_order() -> None:
    assert list(train_bpe(["zy", "ab", "xw"], 258))[256:] == [b"ab", b"xw"]
    assert list(train_bpe(["xw", "zy", "ab"], 258))[256:] == [b"ab", b"xw"]


@settings(deadline=None, max_examples=30)
@given(text=st.text(max_size=60))
def test_the_library_encodes_as_the_training_split(trained: tuple[BpeTokenizer, Path], text: str) -> None:
    ranks = read_ranks(trained[1])
    want = [ranks[t] for piece in split(SPLIT_PATTERNS["cl100k"], text) for t in encoded(ranks, piece.encode())]
    assert trained_tokenizer(*trained).encode(text) == want


def test_ids_are_bytes_then_merges_then_specials(trained: tuple[BpeTokenizer, Path]) -> None:
    spec, path = trained
    tokenizer = trained_tokenizer(spec, path)
    assert tokenizer.vocab_size == spec.vocab == 400 + len(SPECIALS)
    assert tokenizer.vocabulary()[:256] == [bytes((i,)) for i in range(256)]
    assert list(tokenizer.specials.values()) == [400, 401, 402]
    ids = tokenizer.encode(TEXT)
    assert len(ids) < 0.7 * len(TEXT.encode())
    assert max(ids) >= 390


def test_ids_that_the_text_does_not_give_are_unused(tmp_path: Path) -> None:
    spec = BpeTokenizer(size=1000, source=FilePath("x"), specials=("<|x|>",))
    ranks = train_bpe(["abab", "ab"], spec.size)
    assert list(ranks)[256:] == [b"ab", b"abab"]
    write_ranks(tmp_path / "v", ranks)
    tokenizer = trained_tokenizer(spec, tmp_path / "v")
    assert tokenizer.vocab_size == spec.vocab == 1001
    assert tokenizer.specials == {"<|x|>": 1000}
    assert set(tokenizer.vocabulary()[258:]) == {None}
    assert tokenizer.decode_bytes([257, 500, 1000]) == b"abab<|x|>"


def test_the_file_is_tiktokens_and_loads_as_the_same_tokenizer(
    trained: tuple[BpeTokenizer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = trained
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    for number, line in enumerate(path.read_bytes().splitlines()):
        token, rank = line.split(b" ")
        assert int(rank) == number
        assert base64.b64encode(base64.b64decode(token)) == token
    assert load_tiktoken_bpe(str(path)) == read_ranks(path)
    again = TiktokenTokenizer(file=FilePath(path.name), pattern=spec.pattern, specials=SPECIALS)
    tokenizer, loaded = trained_tokenizer(spec, path), build_tokenizer(again, path.parent)
    assert loaded.digest() == tokenizer.digest()
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"YQ==\n", "line 257"),
        (b"YQ== 300 1\n", "line 257"),
        (b"$$ 300\n", "line 257"),
        (b"YWI= two\n", "line 257"),
        (b"YWI= 7\n", "distinct"),
        (b"YWI= -7\n", "distinct"),
    ],
)
def test_damaged_vocabularies_are_told(lines: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "v.tiktoken"
    write_ranks(path, {bytes((i,)): i for i in range(256)})
    path.write_bytes(path.read_bytes() + lines)
    with pytest.raises(LmcError, match=words) as caught:
        read_ranks(path)
    assert caught.value.diagnostic.code == "LM0702"


def test_a_vocabulary_that_lacks_a_byte_is_refused(tmp_path: Path) -> None:
    write_ranks(tmp_path / "v", {bytes((i,)): i for i in range(255)})
    with pytest.raises(LmcError, match="0xFF"):
        read_ranks(tmp_path / "v")


def test_every_named_pattern_splits_without_loss() -> None:
    assert set(SPLIT_PATTERNS) == set(SPLITS)
    for name, pattern in SPLIT_PATTERNS.items():
        assert "".join(split(pattern, TEXT)) == TEXT, name
        assert len(split(pattern, TEXT)) > len(TEXT) / 10


def test_a_pattern_of_ones_own_keeps_what_it_leaves_out() -> None:
    pattern = split_pattern(Pattern(r"\w+", regex=True))
    assert split(pattern, "to be\nor") == ["to", " ", "be", "\n", "or"]
    encoding = encoding_of({bytes((i,)): i for i in range(256)} | {b"to": 256, b"o ": 257}, pattern)
    assert encoding.encode_ordinary("to be") == [256, 32, 98, 101]


@pytest.mark.parametrize("text", [r"(", r"\s*", r"(?=a)|b", r"\p{Nope}"])
def test_patterns_that_cannot_split_are_refused(text: str) -> None:
    with pytest.raises(LmcError) as caught:
        split_pattern(Pattern(text, regex=True))
    assert caught.value.diagnostic.code == "LM0706"


def test_a_pattern_that_only_the_trainer_can_read_is_refused() -> None:
    pattern = split_pattern(Pattern(r"(?V1)[\w--[a]]|(?P>x)?(?P<x>y)", regex=True))
    with pytest.raises(LmcError) as caught:
        encoding_of({bytes((i,)): i for i in range(256)}, pattern)
    assert caught.value.diagnostic.code == "LM0706"
