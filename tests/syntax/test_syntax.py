"""Syntax: any text gives a tree or diagnostics, every mistake where it is, and what is printed parses back."""

import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark

from lmc.compiler.diagnostics.render import render_github, render_json, render_text
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.syntax import tree
from lmc.compiler.syntax.parse import KEYWORDS, parse, parse_expression, read_source
from lmc.compiler.syntax.printer import expr_text, to_text
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source, Span

ROOT = Path(__file__).parent.parent.parent
CASES = Path(__file__).parent / "cases"
EXPECTED = re.compile(r"\s*#! (LM\d{4}) (.*)$")
SPAN = Span(Source("", ""), 0, 0)


def parsed(text: str) -> tuple[tree.File, list[Any]]:
    diagnostics = Diagnostics()
    return parse(Source("case.lmspec", text), diagnostics), diagnostics.items


def bare(node: Any) -> Any:
    """A tree without its places."""
    if isinstance(node, tuple):
        return tuple(map(bare, node))
    if attrs.has(type(node)) and not isinstance(node, Span):
        names = [f.name for f in attrs.fields(type(node)) if f.name not in ("span", "op_span", "offsets", "comments")]
        return (type(node).__name__, *(bare(getattr(node, name)) for name in names))
    return node


def cases() -> list[tuple[str, str]]:
    found = []
    for path in sorted(CASES.glob("*.lmspec")):
        for number, text in enumerate(path.read_text(encoding="utf-8").split("---\n")):
            found.append((f"{path.stem}-{number}", text))
    return found


@pytest.mark.parametrize(("name", "text"), cases(), ids=[name for name, _ in cases()])
def test_mistakes_are_told_where_they_are(name: str, text: str, request: pytest.FixtureRequest) -> None:
    want, lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        match = EXPECTED.search(line)
        if match:
            want.append((number, match.group(1), match.group(2).replace("·", "")))
        lines.append(EXPECTED.sub("", line).rstrip() if match else line)
    source = "\n".join(lines) + "\n"
    _, found = parsed(source)
    assert [(d.span.line, d.code, d.span.text.strip()) for d in found] == want
    golden = CASES / f"{name}.out"
    rendered = render_text(found)
    if request.config.getoption("--update-golden"):
        golden.write_text(rendered, encoding="utf-8")
    assert golden.is_file(), "write it with --update-golden, then read it"
    assert rendered == golden.read_text(encoding="utf-8")


def test_the_grammar_has_no_conflicts() -> None:
    text = (ROOT / "grammars" / "lmspec.lark").read_text(encoding="utf-8")
    pruned = re.sub(r"^(BAD|BAD_STRING)\..*\n", "", text, flags=re.MULTILINE)
    strict = Lark(pruned, parser="lalr", strict=True, start=["start", "expr", "assign"])
    assert len(strict.rules) > 50


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ** 3 ** 2", "2 ** (3 ** 2)"),
        ("-2 ** 2", "-(2 ** 2)"),
        ("2 ** -1", "2 ** (-1)"),
        ("a * b // c % d", "((a * b) // c) % d"),
        ("not a == b", "not (a == b)"),
        ("not a and b or c", "((not a) and b) or c"),
        ("a in b and c not in d", "(a in b) and (c not in d)"),
        ("1 if a else 2 if b else 3", "1 if a else (2 if b else 3)"),
        ("a or b if c else d", "(a or b) if c else d"),
        ("a - b - c", "(a - b) - c"),
        ("a.b[i + 1].c + 1", "(a.b[i + 1].c) + 1"),
    ],
)
def test_operators_bind_as_documented(text: str, want: str) -> None:
    one, two = (parse_expression(Source("x", t), Diagnostics()) for t in (text, want))
    assert bare(one) == bare(two)


def test_all_mistakes_of_a_file_are_told_in_one_go() -> None:
    text = "train a {\n  x = \n  y = 1\n  z = .5\n}\nmodle b : c { w = 'q' }\nin = 3\n"
    _, found = parsed(text)
    assert [(d.code, d.span.line) for d in found] == [("LM0101", 2), ("LM0108", 4), ("LM0108", 6), ("LM0107", 7)]


def test_what_stands_beside_a_mistake_is_kept() -> None:
    file, _ = parsed("train a {\n  x =\n  y = 1\n}\nmodel b : c { w = 2 }\n")
    first, second = file.items
    assert isinstance(first, tree.Block)
    assert isinstance(second, tree.Block)
    assert [type(item) for item in first.items] == [tree.Assign, tree.Bad]
    assert second.name is not None
    assert second.name.text == "b"


def test_strings_know_where_their_characters_are() -> None:
    text = 'x = re"a\\d"\ny = "t\\tq"\nz = """\n  one\n    two\n  """\n'
    file, found = parsed(text)
    assert found == []
    values = [item.value for item in file.items if isinstance(item, tree.Assign)]
    assert [v.value for v in values if isinstance(v, tree.String)] == ["a\\d", "t\tq", "one\n  two"]
    for value in values:
        assert isinstance(value, tree.String)
        assert len(value.offsets) == len(value.value)
    first = values[0]
    assert isinstance(first, tree.String)
    assert "".join(text[o] for o in first.offsets) == "a\\d"


def test_comments_are_collected_with_their_places() -> None:
    file, _ = parsed('# one\na = 1  # two\n# three\nb = "# no"\n# four')
    assert [c.text for c in file.comments] == ["# one", "# two", "# three", "# four"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"a = \xff\n", "LM0106"), (b"a = 1\x00\n", "LM0106"), (b"x" * 600_000, "LM0105"), (b"[" * 200, "LM0105")],
)
def test_unreadable_files_are_told(data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "a.lmspec"
    path.write_bytes(data)
    diagnostics = Diagnostics()
    source = read_source(path, "a.lmspec", diagnostics)
    if source is not None:
        parse(source, diagnostics)
    assert [d.code for d in diagnostics.items] == [code]


def test_byte_order_marks_and_foreign_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.lmspec"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    source = read_source(path, "a.lmspec", Diagnostics())
    assert source is not None
    file, found = parsed(source.text)
    assert found == []
    assert len(file.items) == 2


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abin ={}[](),:.\"'#\n\\*/+-<>%1x_é\t" + "\x00\r", max_size=80))
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    file, found = parsed(text)
    assert isinstance(file, tree.File)
    for diagnostic in found:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text) + 1
    assert render_text(found) is not None
    assert render_json(found)
    render_github(found)


@pytest.mark.parametrize("text", ["x = \n" * 20_000, "{" * 90, "a b c d\n" * 20_000, '"' * 50_000, "x = [" * 90])
def test_thousands_of_mistakes_end_soon(text: str) -> None:
    began = time.process_time()
    _, found = parsed(text)
    assert found
    assert time.process_time() - began < 4


EXAMPLE = (ROOT / "examples" / "memory.lmspec").read_text(encoding="utf-8")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_example_gives_a_tree_or_diagnostics(data: st.DataObject) -> None:
    low, high = sorted((data.draw(st.integers(0, len(EXAMPLE))), data.draw(st.integers(0, len(EXAMPLE)))))
    how = data.draw(st.sampled_from(["cut", "double", "drop", "insert"]))
    piece = EXAMPLE[low : min(high, low + 40)]
    text = {
        "cut": EXAMPLE[:low],
        "double": EXAMPLE[:low] + piece + EXAMPLE[low:],
        "drop": EXAMPLE[:low] + EXAMPLE[low + len(piece) :],
        "insert": EXAMPLE[:low] + data.draw(st.sampled_from(['"', "{", "}", "]", "(", "=", "\n"])) + EXAMPLE[low:],
    }[how]
    file, _ = parsed(text)
    assert isinstance(file, tree.File)


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name.upper() not in KEYWORDS and name not in ("r", "f", "re", "rf")
)
NAME = st.builds(tree.Name, NAMES, st.just(SPAN))
VALUES = st.integers(0, 10**6).map(Decimal) | st.just(Decimal("0.25"))
NUMBERS = st.builds(tree.Number, VALUES, st.sampled_from(["", "k", "Ki", "GiB", "s"]), st.just(SPAN))
STRINGS = st.builds(tree.String, st.text(max_size=8), st.just(""), st.just(SPAN))
LITERALS = st.builds(tree.Literal, st.sampled_from(["true", "false", "none", "unset"]), st.just(SPAN))
REFS = st.builds(tree.Ref, NAME, st.lists(NAME, max_size=2).map(tuple), st.just(SPAN))


def bigger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    ops = st.sampled_from(["or", "and", "==", "<", "in", "not in", "+", "-", "*", "//", "%", "**"])
    assigns = st.builds(tree.Assign, st.tuples(NAME), st.sampled_from(["=", "+="]), inner, st.just(SPAN))
    part = st.builds(tree.Interpolation, REFS, st.sampled_from(["", ".1e", "d"]), st.just(SPAN))
    return st.one_of(
        st.builds(tree.Binary, ops, inner, inner, st.just(SPAN), st.just(SPAN)),
        st.builds(tree.Unary, st.sampled_from(["-", "not"]), inner, st.just(SPAN)),
        st.builds(tree.Cond, inner, inner, inner, st.just(SPAN)),
        st.builds(tree.ListExpr, st.lists(inner, max_size=3).map(tuple), st.just(SPAN)),
        st.builds(tree.Call, NAME, st.lists(inner, max_size=2).map(tuple), st.just(()), st.just(SPAN)),
        st.builds(tree.Comprehension, inner, NAME, inner, st.none() | inner, st.just(SPAN)),
        st.builds(tree.Inline, REFS, st.lists(assigns, max_size=2).map(tuple), st.just(SPAN)),
        st.builds(tree.FString, st.tuples(part), st.just(SPAN)),
    )


EXPRS = st.recursive(NUMBERS | STRINGS | LITERALS | REFS, bigger, max_leaves=8)
ASSIGNS = st.builds(
    tree.Assign, st.lists(NAME, min_size=1, max_size=3).map(tuple), st.sampled_from(["=", "+="]), EXPRS, st.just(SPAN)
)
BLOCKS = st.recursive(
    ASSIGNS,
    lambda inner: st.builds(
        tree.Block, NAME, st.none() | NAME, st.none() | REFS, st.lists(inner, max_size=3).map(tuple), st.just(SPAN)
    ),
    max_leaves=6,
)
ITEMS = st.one_of(
    BLOCKS,
    st.builds(tree.Let, NAME, EXPRS, st.just(SPAN)),
    st.builds(tree.Import, STRINGS, NAME, st.just(SPAN)),
    st.builds(tree.Assert, EXPRS, st.none() | STRINGS, st.just(SPAN)),
)


@settings(max_examples=120, deadline=None)
@given(EXPRS)
def test_expressions_print_and_parse_back(expr: tree.Expr) -> None:
    diagnostics = Diagnostics()
    again = parse_expression(Source("x", expr_text(expr)), diagnostics)
    assert diagnostics.items == [], expr_text(expr)
    assert bare(again) == bare(expr), expr_text(expr)


@settings(max_examples=150, deadline=None)
@given(st.lists(ITEMS, max_size=4).map(tuple))
def test_programs_print_and_parse_back(items: tuple[tree.Item, ...]) -> None:
    text = to_text(tree.File(items, (), SPAN))
    file, found = parsed(text)
    assert found == [], text
    assert bare(file.items) == bare(items), text


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.lmspec")), ids=lambda path: path.stem)
def test_examples_print_and_parse_back(path: Path) -> None:
    file, found = parsed(path.read_text(encoding="utf-8"))
    assert found == []
    again, found = parsed(to_text(file))
    assert found == []
    assert bare(again.items) == bare(file.items)


def test_what_is_wrong_inside_an_f_string_is_shown_there(tmp_path: Path) -> None:
    path = tmp_path / "f.lmspec"
    path.write_text('edition = 1\nlet one = 1\nassert f"é{one}{nope}" == "1"\n', encoding="utf-8")
    (found,) = compile_spec(path).diagnostics.items
    assert found.span is not None
    assert (found.span.line, found.span.column, found.span.text) == (3, 17, "nope")
    assert 'assert f"é{one}{nope}"' in render_text([found])
