"""The text of locks: what is written is read back, a line per input, and damage is told at its line."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.spec.diagnostic import LmcError
from lmc.spec.lock import KINDS, Drift, Input, Lock, change_line, drifts, lock_text, parse_lock

SHA, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
INPUTS = st.builds(Input, st.sampled_from(KINDS), st.text(min_size=1))
VALUES = st.one_of(HEX.map(lambda digits: f"sha256:{digits}"), HEX.map(lambda digits: f"commit:{digits[:40]}"))


@given(st.dictionaries(INPUTS, VALUES))
def test_what_is_written_is_read_back(values: dict[Input, str]) -> None:
    text = lock_text(values)
    assert parse_lock(text, "a.lock").values == values
    assert parse_lock(text.replace("\n", "\r\n"), "a.lock").values == values
    assert text.count("\n") == len(values) + 1


def test_lines_are_sorted_and_names_are_written_as_they_are_where_they_can_be() -> None:
    names = ["z.txt", "a b/c.txt", "ü.txt", "two\nlines", '"quoted"', " padded "]
    lines = lock_text({Input("file", name): SHA for name in names} | {Input("hub", "models/a/b"): OTHER}).splitlines()
    assert lines == [
        "lmc-lock 1",
        f'file {SHA} " padded "',
        f'file {SHA} "\\"quoted\\""',
        f"file {SHA} a b/c.txt",
        f'file {SHA} "two\\nlines"',
        f"file {SHA} z.txt",
        f"file {SHA} ü.txt",
        f"hub {OTHER} models/a/b",
    ]


def test_a_change_of_an_input_is_a_change_of_its_line() -> None:
    before = {Input("file", f"{letter}.txt"): SHA for letter in string.ascii_lowercase}
    old, new = lock_text(before).splitlines(), lock_text({**before, Input("file", "m.txt"): OTHER}).splitlines()
    assert len(old) == len(new)
    assert [line for line, other in zip(old, new, strict=True) if line != other] == [f"file {SHA} m.txt"]


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse_lock(f"# kept\n\nlmc-lock 1\n# {SHA}\nfile {SHA} a\n\n", "a.lock").values == {Input("file", "a"): SHA}


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("", "LM0702", 0, "empty"),
        ("# only this\n", "LM0702", 0, "empty"),
        (f"file {SHA} a\n", "LM0702", 1, "begins with `lmc-lock 1`"),
        ("lmc-lock 2\n", "LM0802", 1, "format 2"),
        (f"lmc-lock 1\nfile {SHA} a\n<<<<<<< HEAD\n", "LM0702", 3, "no line of a lock"),
        (f"lmc-lock 1\nfile {SHA}\n", "LM0702", 2, "no line of a lock"),
        (f"lmc-lock 1\nfile {SHA[:-1]} a\n", "LM0702", 2, "no line of a lock"),
        (f"lmc-lock 1\nthing {SHA} a\n", "LM0702", 2, "no line of a lock"),
        (f'lmc-lock 1\nfile {SHA} "a\n', "LM0702", 2, "no string of JSON"),
        (f"lmc-lock 1\nfile {SHA} a\nfile {OTHER} a\n", "LM0702", 3, "`a` stands twice"),
    ],
)
def test_damage_is_told_at_its_line(text: str, code: str, line: int, words: str) -> None:
    with pytest.raises(LmcError, match=words) as caught:
        parse_lock(text, "a.lock")
    found = caught.value.diagnostic
    assert (found.code, 0 if found.span is None else found.span.line) == (code, line)


def test_differences_are_what_changed_what_is_not_listed_and_what_nothing_reads() -> None:
    same, other, fresh, gone = (Input("file", name) for name in "abcd")
    lock = Lock({same: SHA, other: SHA, gone: SHA})
    found = {fresh: SHA, other: OTHER, same: SHA}
    changed = [Drift(other, SHA, OTHER), Drift(fresh, None, SHA)]
    assert drifts(lock, found, whole=False) == changed
    assert drifts(lock, found, whole=True) == [*changed, Drift(gone, SHA, None)]
    lines = [change_line(drift) for drift in drifts(lock, found, whole=True)]
    assert lines == ["~ `b`  aaaaaaaaaaaa -> bbbbbbbbbbbb", "+ `c`", "- `d`"]
