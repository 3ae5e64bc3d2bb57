"""Tokenizers of the Hugging Face library, token for token against the library itself."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.tokenizers import hf as module
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.runtime.tokenizers.hf_vocabulary import byte_alphabet
from lmc.spec.diagnostic import LmcError
from lmc.spec.tokenizer import HfTokenizer
from lmc.spec.units import FilePath

from .made import SPECIALS, TEXT, byte_level, sentence_piece

hf = pytest.importorskip("tokenizers", reason="needs the tokenizers library")
MAKERS: dict[str, Callable[[Path], None]] = {
    "bytes": byte_level,
    **{prepend: lambda p, s=prepend: sentence_piece(p, s) for prepend in ("never", "first", "always", "normalizer")},  # type: ignore[misc]
}
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session", params=MAKERS)
def pair(request: pytest.FixtureRequest, folder: Path) -> tuple[Tokenizer, Any]:
    """A tokenizer, and the library's own with the same specials."""
    path = folder / f"pair-{request.param}.json"
    MAKERS[request.param](path)
    library = hf.Tokenizer.from_file(str(path))
    tokenizer = build_tokenizer(HfTokenizer(file=FilePath(path.name), specials=SPECIALS), folder)
    library.add_special_tokens([spelling for spelling in SPECIALS if spelling != "</s>"])
    return tokenizer, library


@given(text=st.text(max_size=60).filter(lambda text: "<" not in text))
def test_text_has_the_librarys_ids(pair: tuple[Tokenizer, Any], text: str) -> None:
    tokenizer, library = pair
    assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids


def test_prose_and_marked_prose_have_the_librarys_ids(pair: tuple[Tokenizer, Any]) -> None:
    tokenizer, library = pair
    assert tokenizer.encode_marked(TEXT) == library.encode(TEXT, add_special_tokens=False).ids
    marked = "<|user|>The quick brown fox</s>  naïve<|assistant|> 日本"
    assert tokenizer.encode_marked(marked) == library.encode(marked, add_special_tokens=False).ids


def test_declared_specials_are_the_files_or_follow_it(pair: tuple[Tokenizer, Any]) -> None:
    tokenizer, library = pair
    assert tokenizer.specials["</s>"] == library.token_to_id("</s>")
    assert tokenizer.specials["<|user|>"] == library.token_to_id("<|user|>")
    assert tokenizer.vocab_size == library.get_vocab_size()


def test_no_special_of_the_file_arises_from_text(pair: tuple[Tokenizer, Any]) -> None:
    tokenizer, library = pair
    for spelling in ("<s>", "<|pad|>", "<unk>", "</s>"):
        number = library.token_to_id(spelling)
        if number is not None:
            assert number not in tokenizer.encode(f"a{spelling}b")
            assert tokenizer.vocabulary()[number] is None


def test_vocabulary_is_what_the_library_decodes_to(pair: tuple[Tokenizer, Any]) -> None:
    tokenizer, library = pair
    tested = 0
    for number, text in enumerate(tokenizer.vocabulary()):
        if text is not None and text.isascii() and not text.startswith(b" "):
            assert library.decode([number]) == text.decode()
            tested += 1
    assert tested > 150


def test_the_byte_alphabet_is_the_librarys() -> None:
    alphabet = byte_alphabet()
    assert set(alphabet) == set(hf.pre_tokenizers.ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    encoder = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in ("Ġ é\n\x00~", "日本"):
        ((token, _),) = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert bytes(alphabet[c] for c in token) == text.encode()
    assert encoder.pre_tokenize_str(" a")[0][0] == "Ġa"


def edited(folder: Path, maker: Callable[[Path], None], edit: Edit) -> HfTokenizer:
    path = folder / "tokenizer.json"
    maker(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    edit(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return HfTokenizer(file=FilePath(path.name), specials=("<|user|>",))


def swallowing(data: dict[str, Any]) -> None:
    data["added_tokens"][-1] |= {"lstrip": True, "special": False}


def without(token: str) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        data["model"]["vocab"].pop(token)
        data["model"]["merges"] = []

    return edit


@pytest.mark.parametrize(
    ("maker", "edit", "words"),
    [
        (byte_level, lambda d: d["model"].update(dropout=0.1), "at random"),
        (byte_level, lambda d: d["model"].update(end_of_word_suffix="</w>", merges=[]), "inside a word"),
        (byte_level, swallowing, "swallows"),
        (byte_level, without("Ċ"), "0x0A"),
        (byte_level, lambda d: d.update(decoder=None, pre_tokenizer=None), "BPE without bytes"),
        (MAKERS["never"], lambda d: d["model"].update(byte_fallback=False), "BPE without bytes"),
        (MAKERS["never"], lambda d: d.update(decoder={"type": "ByteFallback"}), "for a space"),
    ],
)
def test_what_is_no_fixed_bytes_is_refused(
    maker: Callable[[Path], None], edit: Edit, words: str, tmp_path: Path
) -> None:
    with pytest.raises(LmcError, match=words) as caught:
        build_tokenizer(edited(tmp_path, maker, edit), tmp_path)
    assert caught.value.diagnostic.code == "LM0708"


def test_word_piece_is_refused(tmp_path: Path) -> None:
    hf.Tokenizer(hf.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")).save(str(tmp_path / "t.json"))
    with pytest.raises(LmcError, match="WordPiece") as caught:
        build_tokenizer(HfTokenizer(file=FilePath("t.json")), tmp_path)
    assert caught.value.diagnostic.code == "LM0708"


def test_a_byte_that_has_no_token_is_told(tmp_path: Path) -> None:
    never = next(char for char, byte in byte_alphabet().items() if byte == 0xFF)
    tokenizer = build_tokenizer(edited(tmp_path, byte_level, without(never)), tmp_path)
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(b"a\xfe")) == b"a\xfe"
    with pytest.raises(LmcError, match="0xFF"):
        tokenizer.encode_bytes(b"a\xff")


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"model": {"type": "BPE"}}', "\udcff"])
def test_damaged_files_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LmcError) as caught:
        build_tokenizer(HfTokenizer(file=FilePath("t.json")), tmp_path)
    assert caught.value.diagnostic.code == "LM0702"


def test_a_missing_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    byte_level(tmp_path / "t.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(LmcError, match="needs the library `tokenizers`") as caught:
        build_tokenizer(HfTokenizer(file=FilePath("t.json")), tmp_path)
    assert caught.value.diagnostic.code == "LM0709"
    assert caught.value.diagnostic.help == "install the extra `hf` of lmc: pip install -e '.[hf]' in its folder"


class Hub:
    """A hub that has one file, or cannot be reached."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.asked: list[tuple[str, str, str | None]] = []

    def hf_hub_download(self, repo: str, name: str, revision: str | None) -> str:
        self.asked.append((repo, name, revision))
        if self.path is None:
            raise FileNotFoundError("cannot reach the hub\nretrying")
        return str(self.path)


def test_a_repository_is_read_through_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    byte_level(tmp_path / "t.json")
    hub = Hub(tmp_path / "t.json")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)  # type: ignore[arg-type]
    found = build_tokenizer(HfTokenizer(repo="a/b", revision="c0ffee"))
    assert found.digest() == build_tokenizer(HfTokenizer(file=FilePath("t.json")), tmp_path).digest()
    assert hub.asked == [("a/b", "tokenizer.json", "c0ffee")]


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(None))  # type: ignore[arg-type]
    with pytest.raises(LmcError, match=r"cannot reach the hub$") as caught:
        module.download("a/b", None)
    assert caught.value.diagnostic.code == "LM0707"
