"""Paths as exports and locks tell them: relative within what is shared with the spec's folder, else whole."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.spec.data import Text
from lmc.spec.exported import exported, shown_path
from lmc.spec.sources import Jsonl
from lmc.spec.units import FilePath, Glob

ROOT = "/home/ada/experiments"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("book.txt", "book.txt"),
        ("data/../book.txt", "book.txt"),
        ("../data/book.txt", "../data/book.txt"),
        ("/home/ada/data/book.txt", "../data/book.txt"),
        ("/home/ada/experiments/book.txt", "book.txt"),
        ("../../../data/book.txt", "/data/book.txt"),
        ("/data/book.txt", "/data/book.txt"),
        ("../../../data/*.txt", "/data/*.txt"),
    ],
)
def test_a_path_is_whole_where_only_the_root_is_shared(path: str, shown: str) -> None:
    assert shown_path(path, ROOT) == shown


@given(st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=8).map("/".join))
def test_a_shown_path_means_the_same_file(path: str) -> None:
    shown = shown_path(path, ROOT)
    assert os.path.normpath(os.path.join(ROOT, shown)) == os.path.normpath(os.path.join(ROOT, path))
    assert os.path.isabs(shown) == (not os.path.normpath(os.path.join(ROOT, path)).startswith("/home"))


def test_every_form_of_a_path_is_shown_in_exports() -> None:
    for source, told in (
        (FilePath("../../../d/a.txt"), "/d/a.txt"),
        (Glob("../../../d/*.txt"), {"pattern": "/d/*.txt"}),
        ((FilePath("../../../d/a.txt"), FilePath("b.txt")), ["/d/a.txt", "b.txt"]),
    ):
        spec = Text(source=source, tokenizer="t", seq_len=8)  # type: ignore[arg-type]
        assert exported(spec, str, ROOT)["source"] == told
        inner = Text(source=Jsonl(files=source), tokenizer="t", seq_len=8)  # type: ignore[arg-type]
        assert exported(inner, str, ROOT)["source"]["files"] == told
