"""The token cache: the ids are those of tokenising anew, whatever is damaged, interrupted or done twice at once."""

import hashlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.data import token_cache, tokenise
from lmc.runtime.data.batch import Example
from lmc.runtime.data.documents import Documents, documents_of
from lmc.runtime.data.examples import Examples
from lmc.runtime.data.text import build_text
from lmc.runtime.data.token_file import START, Tokens, read_tokens, write_tokens
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.runtime.tokenizers.splits import SPLIT_PATTERNS, split
from lmc.runtime.tokenizers.tiktoken_bpe import TiktokenBpe, encoding_of
from lmc.runtime.tokenizers.train_bpe import train_bpe
from lmc.spec.cache import cache_folder
from lmc.spec.data import Text
from lmc.spec.sources import Jsonl
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.units import FilePath

SPECIALS = ("<|eod|>",)
WORDS = "The rain, in 1234 años\n\n  isn't 'll over:\n\tNaïve lines;\r\nend here.\nNext\n"


def bpe(name: str) -> Tokenizer:
    pattern = SPLIT_PATTERNS[name]
    return TiktokenBpe(encoding_of(train_bpe(split(pattern, WORDS * 4), 300), pattern), SPECIALS)


BPE = {name: bpe(name) for name in SPLIT_PATTERNS}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and parts so small that a short text has several."""
    monkeypatch.setenv("LMC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "SMALL", 0)
    monkeypatch.setattr(tokenise, "PART", 200)
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_bytes((f"document {number} " + WORDS * 9).encode())
    return documents_of(tuple(FilePath(f"{n}.txt") for n in range(3)), tmp_path)


def want(documents: Documents, tokenizer: Tokenizer, end: int | None) -> list[int]:
    """Every document tokenised as a whole."""
    return [t for text in documents.read() for t in (*tokenizer.encode(text), *([] if end is None else [end]))]


class Counting:
    """Stands for `Documents.read`; counts how often the documents are read, and may break after some."""

    def __init__(self, read: Callable[[], Iterator[str]], broken_after: int = 99) -> None:
        self.read, self.times, self.broken_after = read, 0, broken_after

    def __call__(self) -> Iterator[str]:
        self.times += 1
        for number, text in enumerate(self.read()):
            if number == self.broken_after:
                raise KeyboardInterrupt
            yield text


def counted(documents: Documents, broken_after: int = 99) -> tuple[Documents, Counting]:
    read = Counting(documents.read, broken_after)
    return Documents(documents.name, documents.key, documents.size, read), read


@pytest.mark.parametrize("name", [*SPLIT_PATTERNS, "bytes"])
@pytest.mark.parametrize("end", [None, 7])
def test_cached_ids_are_those_of_whole_documents(name: str, end: int | None, documents: Documents) -> None:
    tokenizer = BPE[name] if name in BPE else build_tokenizer(ByteTokenizer(specials=SPECIALS))
    once, read = counted(documents)
    for _ in range(2):
        found = token_cache.tokens_of(once, tokenizer, end)
        assert found.ids.tolist() == want(documents, tokenizer, end)
        assert found.ids.dtype == np.uint16
        assert isinstance(found.ids, np.memmap)
        assert found.documents == 3
        assert found.text_bytes == sum(len(text.encode()) for text in documents.read())
    assert read.times == 1


@given(
    st.text(alphabet="aZ1 é\n\r\t.,'/\u2028\x1c世", max_size=300),
    st.sampled_from(list(SPLIT_PATTERNS)),
    st.integers(1, 40),
)
def test_a_document_is_cut_only_where_no_token_can_stand(text: str, name: str, size: int) -> None:
    pieces = [piece.text for piece in tokenise.cut(text, BPE[name], size)]
    assert "".join(pieces) == text
    assert [t for piece in pieces for t in BPE[name].encode(piece)] == BPE[name].encode(text)


def test_a_text_of_any_pattern_is_not_cut() -> None:
    pattern = "(?:a\nB|.|\n)"
    tokenizer = TiktokenBpe(encoding_of(train_bpe(split(pattern, "a\nB" * 50), 258), pattern), ())
    assert len(list(tokenise.cut("xa\nB\n" * 100, tokenizer, 10))) == 1
    assert len(list(tokenise.cut("xa\nB\n" * 100, BPE["gpt2"], 10))) > 10


def test_other_bytes_tokenizers_and_ends_are_other_entries(documents: Documents, tmp_path: Path, cache: Path) -> None:
    same_words = [TiktokenBpe(encoding_of(train_bpe(["ab"], 257), p), ()) for p in (SPLIT_PATTERNS["gpt2"], "(?s:.)")]
    assert same_words[0].digest() == same_words[1].digest()
    found = [
        token_cache.tokens_of(documents, tokenizer, end).ids.tolist()
        for tokenizer, end in [(BPE["gpt2"], None), (BPE["gpt2"], 3), *((t, None) for t in same_words)]
    ]
    (tmp_path / "2.txt").write_text("another text, but of " * 20, encoding="utf-8")
    changed = documents_of(tuple(FilePath(f"{n}.txt") for n in range(3)), tmp_path)
    assert (
        token_cache.tokens_of(changed, BPE["gpt2"], None).ids.tolist() == want(changed, BPE["gpt2"], None) != found[0]
    )
    assert len(list(cache.glob("*.tokens"))) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "header", "longer"])
def test_a_damaged_file_is_made_again(damage: str, documents: Documents, cache: Path) -> None:
    first = token_cache.tokens_of(documents, BPE["gpt2"], None).ids.tolist()
    (path,) = cache.glob("*.tokens")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[START + 5] ^= 1
    elif damage == "header":
        data[0] ^= 1
    path.write_bytes({"cut": data[:-2], "empty": b"", "longer": data + b"xx"}.get(damage, data))
    assert read_tokens(path) is None
    again, read = counted(documents)
    assert token_cache.tokens_of(again, BPE["gpt2"], None).ids.tolist() == first
    assert read.times == 1
    assert read_tokens(path) is not None


def test_an_interrupted_text_goes_on_from_its_whole_parts(
    documents: Documents, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, _ = counted(documents, broken_after=2)
    with pytest.raises(KeyboardInterrupt):
        token_cache.tokens_of(broken, BPE["gpt2"], None)
    assert not list(cache.glob("*.tokens"))
    parts = sorted(cache.glob("*.parts/*"))
    assert len(parts) > 2
    parts[1].write_bytes(parts[1].read_bytes()[:-1])
    (parts[0].parent / ".x.1.tmp").write_bytes(b"partial")
    made: list[str] = []
    write = token_cache.write_tokens
    monkeypatch.setattr(token_cache, "write_tokens", lambda path, parts: (made.append(path.name), write(path, parts)))
    assert token_cache.tokens_of(documents, BPE["gpt2"], None).ids.tolist() == want(documents, BPE["gpt2"], None)
    assert parts[1].name in made
    assert not {parts[0].name, *(part.name for part in parts[2:])} & set(made)
    assert not list(cache.glob("*.parts"))


RACER = """
import hashlib, sys, time
from pathlib import Path
from lmc.runtime.data import token_cache, tokenise
from lmc.spec.cache import cache_folder
from lmc.runtime.data.documents import documents_of
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.units import FilePath

root, said = Path(sys.argv[1]), []
token_cache.SMALL, tokenise.PART = 0, 200
documents = documents_of(tuple(FilePath(f"{n}.txt") for n in range(3)), root)
tokenizer = build_tokenizer(ByteTokenizer())
print("ready", flush=True)
while not (root / "go").exists():
    time.sleep(0.001)
found = token_cache.tokens_of(documents, tokenizer, None, lambda text, share=None: said.append(text))
print(hashlib.sha256(found.ids.tobytes()).hexdigest(), len(said))
"""


@pytest.mark.slow
def test_of_two_processes_one_makes_what_both_read(documents: Documents, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    found = [racer.communicate(timeout=60)[0].split() for racer in racers]
    ids = np.frombuffer("".join(documents.read()).encode(), np.uint8).astype(np.uint16)
    assert {digest for digest, _ in found} == {hashlib.sha256(ids.tobytes()).hexdigest()}
    assert sorted(int(said) for _, said in found) == [0, 1]


@pytest.mark.slow
def test_several_processes_make_the_same_file(
    documents: Documents, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = token_cache.tokens_of(documents, BPE["gpt2"], 3).ids.tolist()
    for path in cache.glob("*.tokens"):
        path.unlink()
    monkeypatch.setattr(token_cache, "LARGE", 0)
    monkeypatch.setattr(token_cache, "_workers", lambda: 2)
    assert token_cache.tokens_of(documents, BPE["gpt2"], 3).ids.tolist() == serial


def test_long_work_says_how_far_it_is(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "SHOW_SECONDS", 0.0)
    said: list[tuple[str, float | None]] = []

    def say(text: str, share: float | None = None) -> None:
        said.append((text, share))

    token_cache.tokens_of(documents, BPE["gpt2"], None, say)
    assert len(said) > 3
    told = r"tokenised [\d.,]+ of [\d.,]+ MB  (\d+)%  [\d.,]+ MB/s  [\d,]+ s left"
    shares = [share for _, share in said[:-1] if share is not None]
    assert len(shares) >= len(said) - 2
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    for text, share in said[: len(shares)]:
        found = re.fullmatch(told, text)
        assert found is not None, text
        assert abs(int(found[1]) - 100 * share) <= 0.51
    assert "kept in" in said[-1][0]
    assert said[-1][1] is None
    said.clear()
    token_cache.tokens_of(documents, BPE["gpt2"], None, say)
    assert said == []


KILLED = """
import os, signal, sys, time
from pathlib import Path
from lmc.runtime.data import token_cache, tokenise
from lmc.runtime.data.documents import documents_of
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.units import FilePath

if __name__ == "__main__":
    token_cache.SMALL, tokenise.PART, token_cache.SHOW_SECONDS = 0, 200, 0.0
    if sys.argv[2] == "parallel":
        token_cache.LARGE, token_cache._workers = 0, lambda: 2
    said = []

    def say(text, share=None):
        said.append(text)
        if len(said) == 3:
            print(token_cache.multiprocessing.active_children(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    documents = documents_of(tuple(FilePath(f"{n}.txt") for n in range(3)), Path(sys.argv[1]))
    token_cache.tokens_of(documents, build_tokenizer(ByteTokenizer()), None, say)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["serial", "parallel"])
def test_a_killed_process_leaves_whole_parts_and_no_process_behind(
    how: str, documents: Documents, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "killed.py"
    program.write_text(KILLED, encoding="utf-8")
    command = [sys.executable, str(program), str(tmp_path), how]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    children = [int(pid) for pid in re.findall(r"pid=(\d+)", killed.stdout)]
    assert len(children) == (2 if how == "parallel" else 0)
    kept = {path.name for path in cache.glob("*.parts/*.tokens") if read_tokens(path) is not None}
    assert len(kept) >= 3
    assert not list(cache.glob("*.tokens"))
    made: list[str] = []
    write = token_cache.write_tokens
    monkeypatch.setattr(token_cache, "write_tokens", lambda path, parts: (made.append(path.name), write(path, parts)))
    tokenizer = build_tokenizer(ByteTokenizer())
    assert token_cache.tokens_of(documents, tokenizer, None).ids.tolist() == want(documents, tokenizer, None)
    assert made
    assert not kept & set(made)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "a process of the pool outlives the killed one"
        time.sleep(0.05)


def test_what_killed_processes_left_half_written_is_removed(documents: Documents, cache: Path) -> None:
    tokenizer = build_tokenizer(ByteTokenizer())
    token_cache.tokens_of(documents, tokenizer, None)
    (path,) = cache.glob("*.tokens")
    path.unlink()
    left = [cache / f".{path.name}.{pid}.tmp" for pid in (1, 99999)]
    other = cache / f".{'0' * 32}.tokens.7.tmp"
    for partial in (*left, other):
        partial.write_bytes(b"x" * 1000)
    token_cache.tokens_of(documents, tokenizer, None)
    assert [partial.exists() for partial in (*left, other)] == [False, False, True]


def test_a_cache_that_cannot_be_written_is_done_without(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LMC_CACHE", str(tmp_path / "file"))
    said: list[str] = []
    found = token_cache.tokens_of(documents, BPE["gpt2"], None, said.append)
    assert found.ids.tolist() == want(documents, BPE["gpt2"], None)
    assert "cannot be written" in said[0]


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("LMC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lmc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lmc"


def test_a_data_set_gathers_from_the_mapped_file(tmp_path: Path) -> None:
    lines = [f'{{"text": "{n} {"word " * 30}"}}\n' for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="utf-8")
    spec = Text(source=Jsonl(files=FilePath("a.jsonl")), tokenizer="t", seq_len=16, document_end="<|eod|>")
    dataset = build_text(spec, BPE["cl100k"], tmp_path)
    for ids in dataset.parts.values():
        assert isinstance(ids, np.memmap)
        assert not ids.flags.writeable


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_a_file_gives_back_what_was_written(kind: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [Tokens(rng.integers(0, np.iinfo(kind).max, n, dtype=kind), n, 2 * n) for n in (0, 5, 70_000)]
    write_tokens(tmp_path / "a", parts)
    found = read_tokens(tmp_path / "a")
    assert found is not None
    assert np.array_equal(found.ids, np.concatenate([part.ids for part in parts]))
    assert (found.ids.dtype, found.documents, found.text_bytes) == (kind, 70_005, 140_010)
    write_tokens(tmp_path / "b", [Tokens(np.empty(0, kind), 1, 0)])
    empty = read_tokens(tmp_path / "b")
    assert empty is not None
    assert (len(empty.ids), empty.documents) == (0, 1)


@given(st.lists(st.integers(0, 9), max_size=20))
def test_flat_examples_are_the_examples(lengths: list[int]) -> None:
    rng = np.random.default_rng(len(lengths))
    made = [Example(rng.integers(0, 9, n).astype(np.int32), rng.random(n) < 0.5) for n in lengths]
    flat = Examples.of(made)
    assert len(flat) == len(made)
    assert flat.lengths.tolist() == lengths
    for found, example in zip(flat, made, strict=True):
        assert found.tokens.tolist() == example.tokens.tolist()
        assert found.trained.tolist() == example.trained.tolist()
    assert [e.tokens.tolist() for e in flat[1:3]] == [e.tokens.tolist() for e in made[1:3]]
    with pytest.raises(IndexError):
        flat[len(made)]
    if made:
        assert flat[-1].tokens.tolist() == made[-1].tokens.tolist()
