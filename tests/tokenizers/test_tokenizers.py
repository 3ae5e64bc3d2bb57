"""What holds for every tokenizer: bytes are kept, text never makes specials, sizes and digests say what they cover."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.tokenizers.base import Tokenizer, numbered
from lmc.runtime.tokenizers.byte import Bytes
from lmc.spec.diagnostic import LmcError

PARTS = ("<|user|>", "</s>", "<|pad|>", "<s>", " the", "quick brown", "\n", "  ", "é", "日本", "1234")
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PARTS), max_size=8).map("".join))


def leads_with_space(tokenizer: Tokenizer) -> bool:
    """Whether the library behind a tokenizer writes a space before every text."""
    return tokenizer.text_bytes(tokenizer.encode("a")) == b" a"


@given(text=TEXTS)
def test_text_comes_back(any_tokenizer: Tokenizer, text: str) -> None:
    ids = any_tokenizer.encode(text)
    space = " " if text and leads_with_space(any_tokenizer) and not text.startswith("▁") else ""
    written = any_tokenizer.text_bytes(ids).decode()
    assert written in (space + text.replace("▁", " "), space + text, text)
    assert any_tokenizer.decode(ids) == written
    assert any_tokenizer.decode_bytes(ids) == written.encode()
    assert not set(ids) & set(any_tokenizer.specials.values())


@given(data=st.one_of(st.binary(max_size=40), TEXTS.map(str.encode)))
def test_bytes_come_back_exactly(any_tokenizer: Tokenizer, data: bytes) -> None:
    ids = any_tokenizer.encode_bytes(data)
    assert any_tokenizer.decode_bytes(ids) == data
    assert any_tokenizer.text_bytes(ids) == data


@given(text=TEXTS)
def test_bytes_of_text_have_the_ids_of_text(any_tokenizer: Tokenizer, text: str) -> None:
    ids = any_tokenizer.encode_next(text)
    if any_tokenizer.text_bytes(ids) == text.encode():
        assert any_tokenizer.encode_bytes(text.encode()) == ids


def test_marks_are_specials_and_only_declared_ones(any_tokenizer: Tokenizer) -> None:
    user, end = any_tokenizer.specials["<|user|>"], any_tokenizer.specials["</s>"]
    ids = any_tokenizer.encode_marked("<|user|>The quick fox</s>")
    assert [ids[0], ids[-1]] == [user, end]
    assert ids[1:-1] == any_tokenizer.encode_next("The quick fox")
    assert any_tokenizer.encode_marked("The fox<|user|>") == [*any_tokenizer.encode("The fox"), user]
    spelled = any_tokenizer.decode_bytes(ids)
    assert spelled.startswith(b"<|user|>")
    assert spelled.endswith(b"The quick fox</s>")
    assert any_tokenizer.text_bytes([user, end]) == b""
    with pytest.raises(LmcError, match="special token") as caught:
        any_tokenizer.encode_marked("a <|pad|>")
    assert caught.value.diagnostic.code == "LM0609"


def test_texts_that_touch_are_encoded_as_one(any_tokenizer: Tokenizer) -> None:
    user = any_tokenizer.specials["<|user|>"]
    whole = any_tokenizer.encode_next("The quick <|user|> fox")
    assert any_tokenizer.encode_pieces([user, "The qu", "ick <|us", "er|> fox"]) == [user, *whole]
    assert any_tokenizer.encode_pieces(["The qu", "ick <|user|> fox"], start=False) == whole
    assert any_tokenizer.encode_pieces([]) == []


def test_vocabulary_and_lengths_agree(any_tokenizer: Tokenizer) -> None:
    vocabulary = any_tokenizer.vocabulary()
    assert len(vocabulary) == any_tokenizer.vocab_size
    assert any_tokenizer.byte_lengths().dtype == np.int32
    assert any_tokenizer.byte_lengths().tolist() == [len(text or b"") for text in vocabulary]
    assert [vocabulary[number] for number in any_tokenizer.specials.values()] == [None] * len(any_tokenizer.specials)
    text = "The quick brown fox doesn't jump, naïvely."
    ids = any_tokenizer.encode(text)
    assert any_tokenizer.byte_lengths()[ids].sum() == len(any_tokenizer.text_bytes(ids))
    for number, word in enumerate(vocabulary):
        if word is not None:
            assert any_tokenizer.decode_bytes([number]) == word


def test_ids_beyond_the_vocabulary_stand_for_nothing(any_tokenizer: Tokenizer) -> None:
    assert any_tokenizer.decode_bytes([any_tokenizer.vocab_size, any_tokenizer.vocab_size + 9]) == b""
    assert any_tokenizer.text_bytes([any_tokenizer.vocab_size]) == b""


class Table(Tokenizer):
    """A tokenizer with a given vocabulary."""

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def encode_bytes(self, data: bytes) -> list[int]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("texts", "specials"),
    [
        ([b"a", b"bc"], {"<|x|>": 3}),
        ([b"ab", b"c"], {"<|x|>": 2}),
        ([b"a", None, b"bc"], {"<|x|>": 3}),
        ([b"a", b"", b"bc"], {"<|x|>": 3}),
        ([b"a", b"bc"], {"<|y|>": 2}),
        ([b"a", b"bc"], {}),
        ([b"a", b"bc"], {"<|x|>": 2, "<|y|>": 3}),
    ],
)
def test_the_digest_tells_vocabularies_and_specials_apart(
    texts: Sequence[bytes | None], specials: dict[str, int]
) -> None:
    one = Table([b"a", b"bc"], {"<|x|>": 2})
    assert one.digest() == Table([b"a", b"bc"], {"<|x|>": 2}).digest()
    assert one.digest() != Table(texts, specials).digest()


def test_the_byte_tokenizer_numbers_bytes_then_specials() -> None:
    tokenizer = Bytes(["<|x|>", "<|y|>"])
    assert tokenizer.specials == {"<|x|>": 256, "<|y|>": 257}
    assert tokenizer.vocab_size == 258
    assert tokenizer.encode("é<|x|>") == list("é<|x|>".encode())
    assert tokenizer.encode_marked("a<|y|>") == [97, 257]


def test_declared_specials_keep_their_ids_and_others_follow_in_order() -> None:
    found = numbered(["<|b|>", "<|end|>", "<|a|>"], {"<|end|>": 7, "<|other|>": 3}, 10)
    assert found == {"<|b|>": 10, "<|end|>": 7, "<|a|>": 11}
