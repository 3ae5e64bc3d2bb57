"""Layout: what comes out means the same, keeps every comment, stays when it is done again, and looks as documented."""

import re
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from support.programs import programs

from lmc.compiler.format import format as format_module
from lmc.compiler.format.format import FormatError, format_source, same_tree
from lmc.compiler.syntax import tree
from lmc.compiler.syntax.parse import parse
from lmc.compiler.syntax.printer import to_text
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```lmspec\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [(path.name, path.read_text("utf-8")) for path in sorted((ROOT / "examples").glob("*.lmspec"))]
TEXTS += [(f"{page.name}-{n}", text) for page in PAGES for n, text in enumerate(BLOCK.findall(page.read_text("utf-8")))]
TEXTS += [
    (f"{path.stem}-{half}", text)
    for path in sorted((ROOT / "compiler" / "diagnostics" / "examples").glob("*.lmspec"))
    for half, text in enumerate(path.read_text("utf-8").split("---\n"))
]


def formatted(text: str) -> str:
    diagnostics = Diagnostics()
    found = format_source(Source("case.lmspec", text), diagnostics)
    assert found is not None, diagnostics.items
    return found


def meaning(text: str) -> list[str]:
    """Statements and comments as the printer, which knows nothing of layouts, writes them."""
    diagnostics = Diagnostics()
    file = parse(Source("x", text), diagnostics)
    assert diagnostics.items == []
    items = tuple(in_block_form(item) for item in file.items)
    return [to_text(attrs.evolve(file, items=items)), *(comment.text for comment in file.comments)]


def in_block_form(node: Any, depth: int = 0) -> Any:
    """The tree with `x = base { }` as `x : base { }` below the top level."""
    if isinstance(node, tuple):
        return tuple(in_block_form(item, depth) for item in node)
    if not attrs.has(type(node)) or isinstance(node, Source):
        return node
    if depth and isinstance(node, tree.Assign) and isinstance(node.value, tree.Inline) and node.op == "=":
        (*more, name) = node.path
        if not more and name.span.text[0] != '"':
            node = tree.Block(name, None, node.value.base, node.value.items, node.span)
    inside = isinstance(node, tree.Block | tree.Inline)
    axes = isinstance(node, tree.Block) and node.kind.text in ("over", "zip")
    items = {f.name: getattr(node, f.name) for f in attrs.fields(type(node)) if f.name not in ("span", "op_span")}
    depth = 0 if axes else 1 if inside else depth
    return attrs.evolve(node, **{name: in_block_form(value, depth) for name, value in items.items()})


@settings(max_examples=300, deadline=None)
@given(programs())
def test_a_program_keeps_meaning_and_comments_and_is_formatted_once(text: str) -> None:
    once = formatted(text)
    assert meaning(once) == meaning(text)
    assert formatted(once) == once
    assert "\r\n" not in once
    assert "\n\n\n" not in re.sub(r'"""(?s:.*?)"""', "", once)
    assert once.endswith("\n") or not once


@pytest.mark.parametrize(("name", "text"), TEXTS, ids=[name for name, _ in TEXTS])
def test_texts_of_the_repository_are_formatted_or_have_syntax_errors(name: str, text: str) -> None:
    diagnostics = Diagnostics()
    once = format_source(Source("x", text), diagnostics)
    assert (once is None) == diagnostics.failed
    if once is None:
        assert name[:2] == "01"
        assert name.endswith("-0")
        return
    assert meaning(once) == meaning(text)
    assert formatted(once) == once


TIMES = count()
LAYOUTS = (Path(__file__).parent / "layouts.txt").read_text("utf-8")
CASES = re.findall(r"^== (.*)\n((?s:.*?))^--\n((?s:.*?))(?=^== |\Z)", LAYOUTS, re.MULTILINE)


@pytest.mark.parametrize(("name", "before", "after"), CASES, ids=[name for name, _, _ in CASES])
def test_layouts(name: str, before: str, after: str) -> None:
    assert formatted(before) == after
    assert formatted(after) == after


def test_every_layout_is_read() -> None:
    assert len(CASES) == LAYOUTS.count("\n--\n") > 15


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "  \n\t\n"])
def test_a_file_ends_with_one_line_end(end: str) -> None:
    assert formatted(f"a = 1{end}") == "a = 1\n"
    assert formatted(f"# c{end}") == "# c\n"


@pytest.mark.parametrize("text", ["", "\n\n", " \t", ",\n,"])
def test_nothing_stays_nothing(text: str) -> None:
    assert formatted(text) == ""


@pytest.mark.parametrize("width", [98, 99, 100, 101])
def test_a_block_stays_on_its_line_below_100_columns(width: int) -> None:
    text = f'a : b {{ c = "{"x" * (width - 16)}" }}'
    assert len(text) == width
    assert formatted(text).count("\n") == (1 if width < 100 else 3)


def test_line_ends_of_other_systems_become_lf() -> None:
    assert formatted("a = 1\r\nb {\r\n c = 2 # d\r\n}\r\n") == "a = 1\nb {\n  c = 2  # d\n}\n"


def test_what_a_literal_holds_is_never_touched() -> None:
    text = 'a {\n      b = """  \n   x\n\n\ty   \n   """\n}\n'
    assert formatted(text) == text.replace("      b", "  b")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("a = 1", "a = 2"), "mean something else"),
        (lambda text: text.replace("# one\n", "\n"), "comments"),
        (lambda text: text.replace("# one", "# 1").replace("# two", "# one").replace("# 1", "# two"), "comments"),
        (lambda text: text.replace("}", ""), "not parse"),
        (lambda text: text + "\n" * next(TIMES), "second time"),
    ],
)
def test_a_layout_that_is_wrong_is_refused(change: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = format_module.write_layout
    monkeypatch.setattr(format_module, "write_layout", lambda layout: change(write(layout)))
    with pytest.raises(FormatError, match=why):
        format_source(Source("x", "b {\na = 1 # one\n} # two"), Diagnostics())


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("a = 1", "a  =  1", True),
        ("a = 1", "a = 1.0", True),
        ("a = 1", "a = 1k", False),
        ("a = (1)", "a = 1", True),
        ("a = b { c = 1 }", "a : b {\n c = 1 }", True),
        ("a.d = b { c = 1 }", "a : b { c = 1 }", False),
        ("a += b {}", "a : b {}", False),
        ("a = b {}", "a c : b {}", False),
        ("a = [1, 2]", "a = [1]", False),
        ('a = "b"', 'a = r"b"', False),
        ('a = f"{b:.1f}"', 'a = f"{b:.2f}"', False),
        ("a = 1, b = 2", "b = 2, a = 1", False),
    ],
)
def test_trees_are_compared_without_places(one: str, two: str, same: bool) -> None:
    first, second = (parse(Source("x", text), Diagnostics()) for text in (one, two))
    assert same_tree(first.items, second.items) == same
