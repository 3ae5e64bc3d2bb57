"""Encodings of tiktoken: their table, their ids, and files that say the same."""

import hashlib
import os
from pathlib import Path

import pytest
import tiktoken
import tiktoken.load
import tiktoken.registry
from tiktoken_ext import openai_public

from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.runtime.tokenizers.splits import SPLIT_PATTERNS
from lmc.runtime.tokenizers.tiktoken_bpe import TiktokenBpe
from lmc.spec.diagnostic import LmcError
from lmc.spec.tokenizer import ENCODINGS, BpeTokenizer, TiktokenTokenizer
from lmc.spec.units import FilePath, Pattern

from .made import SPECIALS, TEXT

URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
PUBLISHED = {"cl100k_base": "LMC_CL100K", "o200k_base": "LMC_O200K"}
"""Encodings, and the environment variable that names the file of each."""


@pytest.fixture(params=PUBLISHED)
def published(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """An encoding's name and file, which the library finds in its cache."""
    name: str = request.param
    given = os.environ.get(PUBLISHED[name])
    if given is None:
        pytest.skip(f"{PUBLISHED[name]} names no {name}.tiktoken")
    path = Path(given)
    (tmp_path / hashlib.sha1(URL.format(name).encode()).hexdigest()).symlink_to(path)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(tiktoken.registry.ENCODINGS, name, raising=False)
    return name, path


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_table_of_encodings_is_the_librarys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        monkeypatch.setattr(openai_public, loader, lambda *args, **kwargs: {})
    made = openai_public.ENCODING_CONSTRUCTORS[name]()
    specials = made["special_tokens"]
    last = max(specials.values())
    assert ENCODINGS[name] == (made.get("explicit_n_vocab", last + 1), frozenset(specials))
    family = "o200k" if name.startswith("o200k") else "cl100k" if name.startswith("cl100k") else "gpt2"
    assert made["pat_str"] == SPLIT_PATTERNS[family]


def test_every_encoding_of_the_library_is_in_the_table() -> None:
    assert set(ENCODINGS) == set(openai_public.ENCODING_CONSTRUCTORS)


def test_a_named_encoding_has_its_published_ids(published: tuple[str, Path]) -> None:
    name, path = published
    own, fresh = "<|endofprompt|>", "<|user|>"
    spec = TiktokenTokenizer(encoding=name, specials=(fresh, own, "<|assistant|>"))  # type: ignore[arg-type]
    tokenizer = build_tokenizer(spec)
    size, _ = ENCODINGS[name]
    assert tokenizer.vocab_size == spec.vocab == size + 2
    library = tiktoken.get_encoding(name)
    assert tokenizer.specials == {fresh: size, own: library.encode_single_token(own), "<|assistant|>": size + 1}
    unused = library.encode_single_token("<|endoftext|>")
    assert tokenizer.vocabulary()[unused] is None
    assert tokenizer.encode(TEXT) == library.encode_ordinary(TEXT)
    assert tokenizer.encode("<|endofprompt|>") == library.encode_ordinary("<|endofprompt|>")
    assert len(tokenizer.encode("<|endofprompt|>")) > 1
    family = name.removesuffix("_base")
    loaded = build_tokenizer(TiktokenTokenizer(file=FilePath(str(path)), pattern=Pattern(family)))
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    assert loaded.vocabulary() == tokenizer.vocabulary()[: loaded.vocab_size]


@pytest.mark.parametrize("published", ["cl100k_base"], indirect=True)
def test_cl100k_encodes_as_published(published: tuple[str, Path]) -> None:
    """Known ids: OpenAI's cookbook, "How to count tokens with tiktoken"."""
    tokenizer = build_tokenizer(TiktokenTokenizer(encoding="cl100k_base"))
    assert tokenizer.encode("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]


def test_an_encodings_own_specials_keep_their_ids() -> None:
    ranks = {bytes((i,)): i for i in range(256)} | {b"ab": 260}
    own = {"<|end|>": 258, "<|other|>": 262}
    encoding = tiktoken.Encoding("small", pat_str=r"\w+|\W", mergeable_ranks=ranks, special_tokens=own)
    tokenizer = TiktokenBpe(encoding, ["<|x|>", "<|end|>"])
    assert tokenizer.specials == {"<|x|>": 263, "<|end|>": 258}
    assert tokenizer.vocab_size == 264
    assert [i for i, text in enumerate(tokenizer.vocabulary()) if text is None] == [256, 257, 258, 259, 261, 262, 263]
    assert tokenizer.encode_marked("ab<|end|>ab") == [260, 258, 260]
    assert tokenizer.encode("<|end|>") == list(b"<|end|>")
    with pytest.raises(LmcError, match="other"):
        tokenizer.encode_marked("<|other|>")


def test_specials_of_a_file_follow_its_last_rank(trained: tuple[BpeTokenizer, Path]) -> None:
    _, path = trained
    spec = TiktokenTokenizer(file=FilePath(path.name), pattern=Pattern("gpt2"), specials=SPECIALS)
    assert spec.vocab is None
    tokenizer = build_tokenizer(spec, path.parent)
    assert list(tokenizer.specials.values()) == [400, 401, 402]


def test_an_encoding_that_cannot_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(path: str) -> bytes:
        raise ConnectionError(f"no route to {path}")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken.load, "read_file", offline)
    monkeypatch.delitem(tiktoken.registry.ENCODINGS, "p50k_edit", raising=False)
    with pytest.raises(LmcError, match="no route") as caught:
        build_tokenizer(TiktokenTokenizer(encoding="p50k_edit"))
    assert caught.value.diagnostic.code == "LM0707"
    assert "TIKTOKEN_CACHE_DIR" in caught.value.diagnostic.help


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LmcError) as caught:
        build_tokenizer(TiktokenTokenizer(file=FilePath("none.tiktoken"), pattern=Pattern("gpt2")), tmp_path)
    assert caught.value.diagnostic.code == "LM0701"
