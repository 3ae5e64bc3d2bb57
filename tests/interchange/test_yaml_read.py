"""What YAML leaves open is told once, at its line and column, and nothing that a file holds is a traceback."""

import contextlib
import itertools
import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.compiler.cli import main
from lmc.compiler.interchange.importing import import_configurations
from lmc.compiler.interchange.yaml_read import Items, Scalar, read_leaves
from lmc.compiler.pipeline import compile_spec
from lmc.spec.diagnostic import Diagnostic, Diagnostics, LmcError
from lmc.spec.span import Source

from ..support.configurations import ITL, LINGUA, flat


def found_in(text: str, folder: Path) -> list[Diagnostic]:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    diagnostics = Diagnostics()
    try:
        import_configurations([path], diagnostics)
    except LmcError as error:
        return [*diagnostics.items, error.diagnostic]
    return diagnostics.items


def placed(text: str, mark: str) -> tuple[int, int]:
    """Line and column of a mark."""
    before = text[: text.index(mark)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def itl(old: str, new: str) -> str:
    assert old in ITL
    return ITL.replace(old, new)


BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{b}: &{b} {{p: *{a}, q: *{a}, r: *{a}, s: *{a}, t: *{a}, u: *{a}, v: *{a}, w: *{a}}}\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

NOTHING = "a: &a {}\n" + "".join(
    f"{b}: &{b} {{p: *{a}, q: *{a}, r: *{a}, s: *{a}, t: *{a}}}\n" for a, b in itertools.pairwise("abcdefghijklmnop")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [*{a}, *{a}, *{a}, *{a}, *{a}]}}\n" for a, b in itertools.pairwise("abcdefghijklmnop")
)
HAZARDS = {
    "a tab": (itl("    nb_gpus: 2", "\tnb_gpus: 2"), "LM1001", "\tnb_gpus", "a tab stands where YAML wants spaces"),
    "no mapping": ("- a\n- b\n", "LM1001", "- a", "is a mapping"),
    "a text": ("just words\n", "LM1001", "just", "is a mapping"),
    "nothing": ("# empty\n", "LM1001", "#", "is a mapping"),
    "two documents": (f"{ITL}---\na: 1\n", "LM1001", "---", "several documents"),
    "no YAML": (itl("  name: recall", "  name: [recall"), "LM1001", ": true", "this is no YAML"),
    "an object": (itl("recall\n", "!!python/name:os.system\n"), "LM1001", "!!python", "makes an object of a program"),
    "an object of a program": (
        itl("name: recall\n", "name: !Thing {a: 1}\n"),
        "LM1001",
        "!Thing",
        "makes an object of a program",
    ),
    "no anchor": (itl("recall\n", "*base\n"), "LM1001", "*base", "an anchor that is not there"),
    "an alias of itself": (itl("  slurm:\n", "  slurm: &s\n    again: *s\n"), "LM1001", "mem", "an alias of what it"),
    "a merge of itself": (itl("  slurm:\n", "  slurm: &s\n    <<: *s\n"), "LM1001", "mem", "merged into itself"),
    "a bomb": (BOMB, "LM1001", "a", "more than 20,000 values"),
    "a bomb of nothing": (NOTHING, "LM1001", "a", "more than 20,000 values"),
    "a bomb of merges": (MERGES, "LM1001", "a", "more than 20,000 values"),
    "a number beyond numbers": (itl("lr: 2e-3", "lr: 1e999999999"), "LM1004", "1e9999", "beyond what a number can be"),
    "half a character": (itl("name: recall", 'name: "\\ud83d"'), "LM1001", '"\\ud83d', "half a character"),
    "a control character": (itl("recall\n", "rec\x07all\n"), "LM1001", "\x07", "U+0007"),
    "a key twice": (
        itl("    lr: 2e-3\n", "    lr: 2e-3\n    lr: 1e-3\n"),
        "LM1002",
        "lr: 1e-3",
        "the first is in line 43",
    ),
    "no point": (ITL, "LM1003", "2e-3", "YAML 1.1 reads `2e-3` as a text"),
    "on": (itl("compile: false", "compile: on"), "LM1003", "on\n\n  cluster", "`on` is true in YAML 1.1"),
    "off for a name": (itl("name: recall", "name: off"), "LM1003", "off\n", 'it is the text "off" here'),
    "a merge": (itl("  slurm:\n", "  slurm:\n    <<: {time: 10}\n"), "LM1003", "<<", "is merged here"),
    "base 8": (itl("emb_dim: 48", "emb_dim: 0100"), "LM1003", "0100", "in base 8"),
    "a key that is a boolean": (itl("    mem: 16G", "    on: 1"), "LM1003", "on: 1", "the key `on`"),
    "base 60": (itl("emb_dim: 48", "emb_dim: 1:30"), "LM1004", "1:30", "is a number, not `1:30`"),
    "a word for a number": (itl("nb_layers: 3", "nb_layers: three"), "LM1004", "three", "is a number, not `three`"),
    "half a layer": (itl("nb_layers: 3", "nb_layers: 2.5"), "LM1004", "2.5", "is a whole number, not 2.5"),
    "a quoted boolean": (itl("compile: false", 'compile: "no"'), "LM1004", '"no"', "is true or false"),
    "nothing to sweep": (itl("emb_dim: 48", "emb_dim: []"), "LM1004", "[]", "is an empty list"),
    "another model": (itl("implementation: transformer", "implementation: mamba"), "LM1004", "mamba", "no counterpart"),
    "a vocabulary too small": (itl("vocab_size: 260", "vocab_size: 4"), "LM1004", "4\n    emb", "its tokenizer 260"),
    "a grid that runs": (
        itl("  slurm:\n", "  grid:\n    model.emb_dim: __import__('os').listdir()\n  slurm:\n"),
        "LM1007",
        "__import__",
        "is not read here",
    ),
    "a grid that explodes": (
        itl("  slurm:\n", "  grid:\n    model.emb_dim: '[9**9**9]'\n  slurm:\n"),
        "LM1007",
        "'[9",
        "its powers are too large",
    ),
    "a grid that repeats": (
        itl("  slurm:\n", "  grid:\n    model.emb_dim: '[1] * 10**12'\n  slurm:\n"),
        "LM1007",
        "'[1]",
        "a list is not repeated here",
    ),
    "a grid of grids": (
        itl("  slurm:\n", "  grid:\n    model.emb_dim: '[range(9) for i in range(3)]'\n  slurm:\n"),
        "LM1007",
        "'[range",
        "a list of lists",
    ),
    "a grid without end": (
        itl("  slurm:\n", "  grid:\n    model.emb_dim: range(10**9)\n  slurm:\n"),
        "LM1007",
        "range",
        "more than 100,000 values",
    ),
    "another codebase": ("learning_rate: 1\n", "LM1006", "learning", "no configuration of ITL or of lingua"),
}


@pytest.mark.parametrize(("text", "code", "mark", "message"), HAZARDS.values(), ids=HAZARDS)
def test_a_hazard_is_told_once_at_its_place(text: str, code: str, mark: str, message: str, tmp_path: Path) -> None:
    found = [d for d in found_in(text, tmp_path) if message in d.message]
    assert [d.code for d in found] == [code]
    span = found[0].span
    assert span is not None
    if not message.startswith(("more than", "an alias of what", "merged into")):
        assert (span.line, span.column) == placed(text, mark)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    found = found_in(ITL + "#" + "x" * 300_000, tmp_path)
    assert [(d.code, d.severity) for d in found] == [("LM0105", "error")]


@pytest.mark.parametrize(("data", "code"), [(b"name: \xff\n", "LM0106"), (None, "LM0701")])
def test_a_file_that_cannot_be_read_is_told(
    data: bytes | None, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    if data is not None:
        path.write_bytes(data)
    assert main(["import", str(path), "-o", str(tmp_path / "c.lmspec")]) == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "c.lmspec").exists()


def test_aliases_and_merges_are_what_yaml_makes_of_them(tmp_path: Path) -> None:
    text = """\
base: &base {lr: 0.1, betas: &b [0.9, 0.99], inner: {x: 1, y: 2}}
other: &other {lr: 0.2, clip: 3}
one: {<<: *base, lr: 0.5}
two: {<<: [{p: 1, q: {r: 2}}, *base], betas: *b}
three: {lr: 7, <<: *base}
"""
    leaves = read_leaves(Source("c.yaml", text), Diagnostics())
    assert leaves is not None
    found = {
        path: leaf.text if isinstance(leaf, Scalar) else [value.text for value in leaf.values]
        for path, leaf in leaves.items()
    }
    expected = flat(yaml.safe_load(text))
    assert found == {k: [str(x) for x in v] if isinstance(v, list) else str(v) for k, v in expected.items()}
    assert any(isinstance(leaf, Items) for leaf in leaves.values())


def test_of_merged_mappings_the_first_wins() -> None:
    """As the merge key of YAML 1.1 says: "keys in mapping nodes earlier in the sequence override"."""
    leaves = read_leaves(Source("c.yaml", "c: {<<: [{a: 1}, {a: 2, b: 3}], d: 4}\n"), Diagnostics())
    assert leaves is not None
    assert {path: leaf.text for path, leaf in leaves.items() if isinstance(leaf, Scalar)} == {
        "c.a": "1",
        "c.b": "3",
        "c.d": "4",
    }


def test_a_tagged_list_is_no_list() -> None:
    diagnostics = Diagnostics()
    assert read_leaves(Source("c.yaml", "c: !!python/tuple [1, 2]\n"), diagnostics) is None
    assert [d.code for d in diagnostics.items] == ["LM1001"]


@pytest.mark.parametrize("width", ["48", "48.0", "4.8e1", "0x30", "+48"])
def test_spellings_of_a_number(width: str, tmp_path: Path) -> None:
    found = found_in(itl("emb_dim: 48", f"emb_dim: {width}"), tmp_path)
    mistakes = [d.message for d in found if d.severity == "error"]
    assert mistakes == (["`emb_dim` is a number, not `0x30`"] if width == "0x30" else [])


LINES = st.sampled_from((ITL + LINGUA).splitlines())
PIECES = st.text(st.sampled_from(list("ab1e-.:[]{}&*!|>'\"%@`#,?<\t \n\x00é")), max_size=12)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([ITL, LINGUA]), st.integers(0, 2000), st.integers(0, 40), PIECES | LINES)
def test_a_damaged_file_gives_a_spec_or_diagnostics(text: str, at: int, length: int, piece: str) -> None:
    damaged = text[: at % len(text)] + piece + text[at % len(text) + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(damaged, encoding="utf-8")
        diagnostics = Diagnostics()
        with contextlib.suppress(LmcError):
            found = import_configurations([path], diagnostics)
            assert (found is None) == diagnostics.failed


def test_no_key_writes_a_statement(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(ITL + '"odd\\nedition = 2\\u2028tokenizer x : byte {}": 1\n', encoding="utf-8")
    found = import_configurations([path], Diagnostics())
    assert found is not None
    told = next(line for line in found.text.split("\n") if "odd" in line)
    assert told.startswith("#   odd\\nedition = 2\\u2028tokenizer x : byte {} (line ")
    assert found.text.count("edition = ") == 2


TEXTS = ["a\nb", 'say "no"', "back\\slash", "tab\there", "é😀", "{x}", "${HOME}", "#", "\x7f", "<|eod|>"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_reach_the_spec_as_they_are(text: str, tmp_path: Path) -> None:
    path, spec = tmp_path / "c.yaml", tmp_path / "c.lmspec"
    path.write_text(LINGUA.replace("project: tiny", f"project: {json.dumps(text)}"), encoding="utf-8")
    found = import_configurations([path], Diagnostics())
    assert found is not None
    spec.write_text(found.text, encoding="utf-8")
    plan = compile_spec(spec).plan
    assert plan is not None
    assert plan.nodes[plan.points[0].run].spec.track.project == text
