"""Colours by spelling: the grammar of editors and the Pygments lexer say the same, and what the compiler says."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pygments.lexer import Lexer
from pygments.token import Error, Token, is_token_subtype, string_to_tokentype
from support.textmate import Grammar

from lmc.compiler.highlight.lexer import LmspecLexer
from lmc.compiler.highlight.table import ROLES, TABLE, Region
from lmc.compiler.highlight.textmate import grammar_text, scope
from lmc.compiler.lsp.workspace import Workspace
from lmc.compiler.syntax.lexer import grammar
from lmc.compiler.syntax.parse import KEYWORDS, parse
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "editors" / "vscode" / "syntaxes" / "lmspec.tmLanguage.json"
BLOCK = re.compile(r"^```lmspec\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "editors").rglob("*.md"))]
SPECS = [
    *sorted((ROOT / "examples").rglob("*.lmspec")),
    *sorted((ROOT / "compiler").rglob("*.lmspec")),
    *sorted((Path(__file__).parent / "cases").glob("*.lmspec")),
]


def specs() -> Iterator[tuple[str, str]]:
    """Every spec of the repository that parses, and every block of a document."""
    for path in SPECS:
        for number, text in enumerate(path.read_text("utf-8").split("---\n")):
            found = Diagnostics()
            parse(Source(path.name, text), found)
            if not found.items:
                yield f"{path.relative_to(ROOT)}-{number}", text
    for page in PAGES:
        for number, text in enumerate(BLOCK.findall(page.read_text("utf-8"))):
            yield f"{page.name}-{number}", text


TEXTS = dict(specs())


def pygmented(text: str) -> list[tuple[int, str, Any]]:
    return [(at, piece, token) for at, token, piece in LmspecLexer().get_tokens_unprocessed(text)]


@cache
def textmate() -> Grammar:
    return Grammar(json.loads(FILE.read_text("utf-8")))


def textmated(text: str) -> list[tuple[int, str, tuple[str, ...]]]:
    return list(textmate().tokens(text))


def by_character(tokens: list[tuple[int, str, Any]], size: int) -> list[Any]:
    found: list[Any] = [None] * size
    for at, piece, value in tokens:
        found[at : at + len(piece)] = [value] * len(piece)
    return found


def test_there_is_much_to_read() -> None:
    assert len(TEXTS) > 150
    assert "tests/highlight/cases/forms.lmspec-0" in TEXTS


@pytest.mark.parametrize("name", TEXTS)
def test_no_spec_has_a_wrong_token(name: str) -> None:
    text = TEXTS[name]
    pieces = pygmented(text)
    assert "".join(piece for _, piece, _ in pieces) == text
    assert [(at, piece) for at, piece, token in pieces if token is Error] == []
    assert [(at, piece) for at, piece, scopes in textmated(text) if any("invalid" in s for s in scopes)] == []


@pytest.mark.parametrize("name", TEXTS)
def test_both_highlighters_say_the_same(name: str) -> None:
    text = TEXTS[name]
    ours = by_character(pygmented(text), len(text))
    theirs = by_character(textmated(text), len(text))
    tokens = {scope(role): string_to_tokentype(token) for role, (_, token) in ROLES.items()}
    for at, char in enumerate(text):
        if not char.isspace():
            scopes = theirs[at]
            assert scopes, f"{text[at : at + 20]!r} has no scope"
            assert tokens[scopes[-1]] is ours[at], f"{text[at : at + 20]!r}: {scopes}, {ours[at]}"


WANTED = {
    "NUMBER": Token.Literal.Number,
    "STRING": Token.Literal.String,
    "RSTRING": Token.Literal.String,
    "RESTRING": Token.Literal.String,
    "LONG": Token.Literal.String,
    **{
        name: Token.Operator if word in ("and", "or", "not", "in") else Token.Keyword for name, word in KEYWORDS.items()
    },
    **dict.fromkeys(("CMP", "SUMOP", "MULOP", "POW", "EQ", "PLUSEQ"), Token.Operator),
    **dict.fromkeys(("LBRACE", "RBRACE", "LPAR", "RPAR", "LSQB", "RSQB", "COMMA", "COLON"), Token.Punctuation),
}
NAMES = {
    Token.Name,
    Token.Name.Attribute,
    Token.Name.Class,
    Token.Name.Function,
    Token.Name.Tag,
    Token.Keyword.Type,
}


@pytest.mark.parametrize("name", TEXTS)
def test_tokens_are_those_of_the_parser(name: str) -> None:
    """The parser's own lexer is the judge of where numbers, strings, words and comments are."""
    text = TEXTS[name]
    ours = by_character(pygmented(text), len(text))
    for token in grammar().lex(text):
        start, end = token.start_pos or 0, token.end_pos or 0
        if token.type in WANTED:
            interpolated = token.type == "LONG" and "f" in token[:2]
            for at in (start, end - 1) if interpolated else range(start, end):
                if not text[at].isspace():
                    assert is_token_subtype(ours[at], WANTED[token.type]), (token, text[at], ours[at])
        elif token.type == "DOT":
            assert ours[start] is Token.Punctuation or is_token_subtype(ours[start], Token.Name)
        elif token.type == "NAME":
            assert {ours[at] for at in range(start, end)} <= NAMES, (token, ours[start])
    for comment in parse(Source(name, text), Diagnostics()).comments:
        assert all(ours[at] is Token.Comment.Single for at in range(comment.span.start, comment.span.end))


@pytest.mark.parametrize("name", [name for name in TEXTS if name.startswith("examples/")])
def test_what_is_defined_looks_so(name: str, tmp_path: Path) -> None:
    """Names are the judge: kinds, the names of blocks and variants behind a colon."""
    text = TEXTS[name]
    workspace = Workspace()
    workspace.write(tmp_path / "a.lmspec", text)
    analysis = workspace.analysis(tmp_path / "a.lmspec")
    assert analysis.names is not None
    ours = by_character(pygmented(text), len(text))
    for found in analysis.names.of(str(analysis.path)):
        token = ours[found.span.start]
        if found.symbol.role == "kind":
            assert token is Token.Keyword.Type
        elif found.symbol.role == "block" and found.defines:
            assert token is Token.Name.Class
        elif found.symbol.role == "function":
            assert token is Token.Name.Function
        elif found.symbol.role == "variant":
            assert token in (Token.Name.Class, Token.Name.Tag)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a = 'x'", "''"),
        (r'a = "\q"', r"\q"),
        ("a = 5zz", "zz"),
        ("a = $b", "$"),
        ("a = 1e5k2", "k2"),
        ('a = "never closed\nb = 1', ""),
        ('a = re"[never closed\nb = 1', ""),
        ('a = f"{never\nb = 1', ""),
    ],
)
def test_mistakes_are_shown_and_end_with_their_line(text: str, wrong: str) -> None:
    found = "".join(piece for _, piece, token in pygmented(text) if token is Error)
    assert found == wrong
    assert "".join(piece for _, piece, scopes in textmated(text) if any("invalid" in s for s in scopes)) == wrong
    if "\n" in text:
        assert by_character(pygmented(text), len(text))[text.index("b = 1")] is Token.Name.Attribute
        assert by_character(textmated(text), len(text))[text.index("b = 1")] == (scope("field"),)


def test_the_grammar_is_made_from_the_table() -> None:
    made = "remake it: python -m lmc.compiler.highlight editors/vscode/syntaxes/lmspec.tmLanguage.json"
    assert FILE.read_text("utf-8") == grammar_text(), made


def test_every_role_is_used_and_every_pattern_begins_something() -> None:
    rules = [rule for rules in TABLE.values() for rule in rules]
    used = {role for r in rules for role in ((*r.begins, r.role) if isinstance(r, Region) else r.roles)}
    assert used == set(ROLES)
    for rule in rules:
        for pattern in (rule.begin, rule.end) if isinstance(rule, Region) else (rule.pattern,):
            assert re.compile(pattern)
            assert not re.search(r"\(\?[P<](?!P?<|[=!])|\\Z|\\A|\(\?[aiLmsux]", pattern.replace("(?P?<", "")), pattern


def test_the_lexer_is_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["pygments.lexers"]["lmspec"].partition(":")
    lexer = getattr(import_module(module), name)()
    assert isinstance(lexer, Lexer)
    assert lexer.filenames == ["*.lmspec"]
