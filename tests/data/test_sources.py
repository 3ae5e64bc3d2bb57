"""Sources of text: every form gives the documents that were written, and mistakes are told at their place."""

import gzip
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.web import served_folder

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.data.dataset import TextDataset, build_dataset
from lmc.runtime.data.documents import documents_of
from lmc.runtime.data.order import Draw
from lmc.runtime.inputs import files_of
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.codec import structure_spec, unstructure
from lmc.spec.data import Split, Text
from lmc.spec.diagnostic import LmcError
from lmc.spec.identity import identity
from lmc.spec.sources import HfDataset, Jsonl, Parquet, Url
from lmc.spec.units import FilePath, Glob

DOCUMENTS = ["one\nline", "zwei é\u2028über", "", "the last <|eod|>"]
EOD = 259


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the same documents in every form."""
    found = tmp_path / "data"
    found.mkdir()
    for number, text in enumerate(DOCUMENTS):
        (found / f"{number}.txt").write_bytes(text.encode())
    lines = "".join(json.dumps({"n": n, "body": text}) + "\n" for n, text in enumerate(DOCUMENTS)).encode()
    (found / "all.jsonl").write_bytes(lines + b"\n")
    (found / "all.jsonl.gz").write_bytes(gzip.compress(lines))
    return found


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of the folder, and the paths that it was asked for."""
    with served_folder(folder) as found:
        yield found


def read(source: Any, root: Path) -> list[str]:
    return list(documents_of(source, root).read())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_form_gives_the_same_documents(folder: Path) -> None:
    listed = tuple(FilePath(f"{n}.txt") for n in range(len(DOCUMENTS)))
    for source in (
        Glob("*.txt"),
        listed,
        Jsonl(files=FilePath("all.jsonl"), field="body"),
        Jsonl(files=(FilePath("all.jsonl.gz"),), field="body"),
        Jsonl(files=Glob("all.*"), field="body"),
    ):
        want = DOCUMENTS * (2 if isinstance(source, Jsonl) and isinstance(source.files, Glob) else 1)
        assert read(source, folder) == want
    assert read(listed[::-1], folder) == DOCUMENTS[::-1]
    assert read(FilePath("1.txt"), folder) == [DOCUMENTS[1]]


def test_parquet_gives_its_rows(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"body": DOCUMENTS, "n": list(range(4))})
    parquet.write_table(table, folder / "all.parquet", row_group_size=2)
    assert read(Parquet(files=FilePath("all.parquet"), field="body"), folder) == DOCUMENTS
    for field, words in (("text", "no field `text`"), ("n", "int, not text")):
        with pytest.raises(LmcError, match=words) as caught:
            read(Parquet(files=FilePath("all.parquet"), field=field), folder)
        assert caught.value.diagnostic.code == "LM0702"
    with pytest.raises(LmcError, match="no Parquet file"):
        read(Parquet(files=FilePath("all.jsonl"), field="body"), folder)


def test_a_missing_library_names_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow.parquet", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    for source in (Parquet(files=FilePath("all.jsonl")), HfDataset(folder=FilePath("."))):
        with pytest.raises(LmcError) as caught:
            read(source, folder)
        assert caught.value.diagnostic.code == "LM0709"
        assert "pip install -e '.[data]'" in caught.value.diagnostic.help


def test_a_data_set_of_the_library_gives_its_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    (folder / "set").mkdir()
    (folder / "all.jsonl").rename(folder / "set" / "train.jsonl")
    source = HfDataset(folder=FilePath("set"), field="body")
    assert read(source, folder) == DOCUMENTS
    assert files_of(Text(source=source, tokenizer="t", seq_len=4), folder) == [folder / "set" / "train.jsonl"]
    with pytest.raises(LmcError, match="no field `text`"):
        read(HfDataset(folder=FilePath("set")), folder)
    with pytest.raises(LmcError) as caught:
        read(HfDataset(folder=FilePath("set"), split="dev"), folder)
    assert caught.value.diagnostic.code == "LM0717"


def test_a_url_is_downloaded_once_and_its_digest_is_checked(folder: Path, served: tuple[str, list[str]]) -> None:
    at, asked = served
    digest = sha256(folder / "all.jsonl")
    source = Url(at=f"{at}/all.jsonl", sha256=digest, format="jsonl", field="body")
    assert read(source, folder) == DOCUMENTS
    assert read(source, folder) == DOCUMENTS
    assert asked == ["/all.jsonl"]
    kept = folder.parent / "cache" / "downloads" / digest
    kept.write_bytes(b"damaged")
    assert read(source, folder) == DOCUMENTS
    assert asked == ["/all.jsonl"] * 2
    assert read(Url(at=f"{at}/0.txt", sha256=sha256(folder / "0.txt")), folder) == [DOCUMENTS[0]]


def test_what_a_url_gives_wrong_is_told_and_leaves_nothing(folder: Path, served: tuple[str, list[str]]) -> None:
    at, _ = served
    for address, code, words in (
        (f"{at}/0.txt", "LM0702", sha256(folder / "0.txt")),
        (f"{at}/none.txt", "LM0717", "404"),
        ("http://127.0.0.1:9/x", "LM0717", "refused"),
        ("nowhere", "LM0717", "unknown url type"),
    ):
        with pytest.raises(LmcError, match=words) as caught:
            read(Url(at=address, sha256="0" * 64), folder)
        assert caught.value.diagnostic.code == code
    assert [p.name for p in (folder.parent / "cache" / "downloads").iterdir()] == ["0" * 64 + ".lock"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"body": "x"', "2. is no JSON object"),
        (b"[1]", "2. has no field"),
        (b'{"text": "x"}', "it has text"),
        (b'{"body": 3}', "int, not text"),
        (b'{"body": "\xff"}', "2. is no JSON object"),
        (rb'{"body": "a \ud83d"}', "a.jsonl:2. holds half of a surrogate pair"),
    ],
)
def test_a_damaged_line_is_told_with_its_number(line: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"body": "fine"}\n' + line + b"\n")
    with pytest.raises(LmcError) as caught:
        read(Jsonl(files=FilePath("a.jsonl"), field="body"), tmp_path)
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "LM0702"
    assert re.search(words, f"{diagnostic.message} {diagnostic.help}")


@pytest.mark.parametrize("damage", ["body", "end", "head"])
def test_a_damaged_packed_file_is_told(damage: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"body": hashlib.sha256(bytes([n])).hexdigest()}) + "\n" for n in range(200))
    packed = bytearray(gzip.compress(lines.encode()))
    if damage == "body":
        packed[10] = 0xFF
    elif damage == "end":
        del packed[-20:]
    else:
        packed[:2] = b"no"
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    with pytest.raises(LmcError, match=r"a\.jsonl\.gz:\d+. cannot be unpacked") as caught:
        read(Jsonl(files=FilePath("a.jsonl.gz"), field="body"), tmp_path)
    assert caught.value.diagnostic.code == "LM0702"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_source_without_a_document_is_too_short(name: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    spec = Text(source=Jsonl(files=FilePath(name)), tokenizer="t", seq_len=4, document_end="")
    for _ in range(2):
        with pytest.raises(LmcError, match="has 0 tokens") as caught:
            build_dataset(spec, tokenizer, tmp_path, None)
        assert caught.value.diagnostic.code == "LM0705"


def test_documents_are_joined_with_the_special_that_ends_each(folder: Path, tokenizer: Tokenizer) -> None:
    for end, between in (("<|eod|>", [EOD]), ("", [])):
        spec = Text(
            source=Jsonl(files=FilePath("all.jsonl"), field="body"),
            tokenizer="t",
            seq_len=4,
            split=Split(train=1.0, valid=0.0),
            document_end=end,
        )
        dataset = build_dataset(spec, tokenizer, folder, None)
        assert isinstance(dataset, TextDataset)
        stream = [token for text in DOCUMENTS for token in (*text.encode(), *between)]
        assert dataset.parts["train"].tolist() == stream
        assert dataset.example("train", Draw(1, 0)).tokens.tolist() == stream[4:9]
        assert dataset.describe().startswith(f"text of {len(stream)} + 0 tokens in 4 documents, {len(stream) // 4}")


def test_the_identity_of_a_text_file_is_what_it_was() -> None:
    spec = Text(source=FilePath("book.txt"), tokenizer="t", seq_len=64)
    assert identity(spec) == "56mqp3lp46sh7mi4"
    one = Url(at="http://a/x", sha256="0" * 64)
    other = Url(at="http://b/x", sha256="0" * 64)
    assert len({identity(Text(source=s, tokenizer="t", seq_len=64)) for s in (one, other)}) == 1


@pytest.mark.parametrize(
    "source",
    [
        FilePath("a"),
        Glob("*.txt"),
        (FilePath("a"), FilePath("b")),
        Jsonl(files=(FilePath("a"),)),
        Jsonl(files=Glob("a")),
        Parquet(files=FilePath("a"), field="x"),
        Url(at="http://a", sha256="0" * 64, format="parquet"),
        HfDataset(repo="r", name="n"),
    ],
    ids=str,
)
def test_a_plan_keeps_every_form(source: Any) -> None:
    spec = Text(source=source, tokenizer="t", seq_len=4, document_end="")
    assert structure_spec(json.loads(json.dumps(unstructure(spec)))) == spec


SPEC = """edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { tokenizer = bytes, seq_len = 8, SOURCE }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 2, batch = 2 }
"""


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ('source = files("*.txt")', "LM0209", "document_end"),
        ('source = [file("a.txt")]', "LM0209", "document_end"),
        ('source = files("*.txt"), document_end = "<|end|>"', "LM0609", "<|end|>"),
        ('source = "a.txt"', "LM0301", "needs a Path"),
        ("source = 3", "LM0301", "jsonl { }"),
        ('source : url { at = "http://a/b", sha256 = "12" }', "LM0303", "no SHA-256"),
        ('document_end = "", source : hf { }', "LM0309", "neither"),
        ('document_end = "", source : hf { folder = file("x"), revision = "main" }', "LM0309", "revision"),
        ('source : csv { files = file("a") }', "LM0202", "csv"),
        ("", "LM0209", "source"),
    ],
)
def test_mistakes_are_found_by_the_compiler(source: str, code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.lmspec").write_text(SPEC.replace("SOURCE", source), encoding="utf-8")
    (found, *_) = compile_spec(tmp_path / "a.lmspec").diagnostics.items
    assert found.code == code
    assert words in f"{found.message} {found.help}"


def test_a_value_and_a_block_replace_each_other(tmp_path: Path) -> None:
    text = SPEC.replace("SOURCE", 'source = file("a.txt"), document_end = ""') + (
        'train lines : base { data { source : jsonl { files = file("b.jsonl") } } }\n'
        'train field : lines { data.source.field = "body" }\n'
        'train plain : field { data.source = [file("a.txt"), file("c.txt")] }\n'
        'grid both { base = base, over { data.source = [file("a.txt"), jsonl { files = file("b.jsonl") }] } }\n'
    )
    (tmp_path / "a.lmspec").write_text(text, encoding="utf-8")
    plan = compile_spec(tmp_path / "a.lmspec").plan
    assert plan is not None
    sources = {p.name: plan.nodes[plan.nodes[p.run].spec.data].spec.source for p in plan.points if p.grid != "both"}
    assert sources == {
        "base": "a.txt",
        "lines": Jsonl(files=FilePath("b.jsonl")),
        "field": Jsonl(files=FilePath("b.jsonl"), field="body"),
        "plain": ("a.txt", "c.txt"),
    }
    assert {plan.nodes[plan.nodes[p.run].spec.data].spec.source for p in plan.points if p.grid == "both"} == {
        "a.txt",
        Jsonl(files=FilePath("b.jsonl")),
    }


def test_a_run_reads_documents(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = 'document_end = "<|eod|>", source : jsonl { files = files("*.jsonl"), field = "body" }'
    (folder / "a.lmspec").write_text(SPEC.replace("SOURCE", source), encoding="utf-8")
    monkeypatch.chdir(folder)
    assert main(["run", "a.lmspec", "--device", "cpu"]) == 0
    assert "in 4 documents" in capsys.readouterr().out


def test_names_that_no_record_can_hold_are_refused(folder: Path) -> None:
    (folder / "pages").mkdir()
    (folder / "pages" / os.fsdecode(b"caf\xe9.txt")).write_text("abc")
    source = Glob(f"{folder}/pages/*.txt")
    with pytest.raises(LmcError) as caught:
        files_of(Text(source=source, tokenizer="t", seq_len=4), folder)
    assert caught.value.diagnostic.code == "LM0702"
    assert "caf\\udce9.txt" in caught.value.diagnostic.message
