"""The one table of tokens that highlighters are made from.

A pattern sees one line, and is written in what Python's `re` and Oniguruma have in common. In each set the first rule
that matches at a place wins; in a region its end comes first.
"""

from __future__ import annotations

from attrs import frozen

from ...spec.units import COUNT_SUFFIXES, DURATION_SUFFIXES, SIZE_SUFFIXES
from ..syntax.parse import KEYWORDS, KINDS

ROLES: dict[str, tuple[str, str]] = {
    "comment": ("comment.line.number-sign", "Comment.Single"),
    "declare": ("keyword.control.declaration", "Keyword.Declaration"),
    "control": ("keyword.control", "Keyword"),
    "logic": ("keyword.operator.word", "Operator.Word"),
    "constant": ("constant.language", "Keyword.Constant"),
    "kind": ("storage.type", "Keyword.Type"),
    "defined": ("entity.name.type", "Name.Class"),
    "base": ("entity.other.inherited-class", "Name.Class"),
    "block": ("entity.name.tag", "Name.Tag"),
    "field": ("variable.other.property", "Name.Attribute"),
    "function": ("support.function", "Name.Function"),
    "name": ("variable.other", "Name"),
    "number": ("constant.numeric", "Number"),
    "unit": ("keyword.other.unit", "Number"),
    "string": ("string.quoted.double", "String.Double"),
    "raw": ("string.quoted.other.raw", "String"),
    "regex": ("string.regexp", "String.Regex"),
    "prefix": ("storage.type.string", "String.Affix"),
    "escape": ("constant.character.escape", "String.Escape"),
    "interpolated": ("meta.interpolation", "String.Interpol"),
    "format": ("constant.other.format", "String.Interpol"),
    "group": ("keyword.control.group.regexp", "String.Regex"),
    "class": ("constant.other.character-class.regexp", "String.Regex"),
    "quantifier": ("keyword.operator.quantifier.regexp", "String.Regex"),
    "operator": ("keyword.operator", "Operator"),
    "punctuation": ("punctuation.separator", "Punctuation"),
    "space": ("", "Text.Whitespace"),
    "wrong": ("invalid.illegal", "Error"),
}
"""What a piece of text is: its scope for TextMate, its token for Pygments."""


@frozen
class Rule:
    """What matches `pattern` has one role, or one per group in order."""

    pattern: str
    roles: tuple[str, ...]


@frozen
class Region:
    """From `begin` to `end`, with roles for the groups of `begin`; between them the rules of the sets `inside`."""

    begin: str
    begins: tuple[str, ...]
    end: str
    role: str
    inside: tuple[str, ...] = ()


def _words(*words: str) -> str:
    return rf"\b(?:{'|'.join(sorted(words))})\b"


NAME = r"[A-Za-z_][A-Za-z0-9_]*"
DOTTED = rf"{NAME}(?:[ \t]*\.[ \t]*{NAME})*"
DECLARE = ("import", "as", "let", "assert")
CONTROL = ("if", "else", "for")
LOGIC = ("and", "or", "not", "in")
CONSTANTS = ("true", "false", "none", "unset")
UNITS = sorted(filter(None, (*COUNT_SUFFIXES, *SIZE_SUFFIXES, *DURATION_SUFFIXES)), key=lambda s: (-len(s), s))
DIGITS = r"[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?"
NO_KEYWORD = rf"(?!{_words(*KEYWORDS.values())})"

TABLE: dict[str, tuple[Rule | Region, ...]] = {
    "file": (
        Rule(r"[ \t\r\n]+", ("space",)),
        Rule(r"#[^\n]*", ("comment",)),
    ),
    "long strings": (
        Region(r'(rf)(""")', ("prefix", "raw"), r'"""', "raw", ("long interpolation",)),
        Region(r'(re)(""")', ("prefix", "regex"), r'"""', "regex", ("regex", "long class")),
        Region(r'(r)(""")', ("prefix", "raw"), r'"""', "raw"),
        Region(r'(f)(""")', ("prefix", "string"), r'"""', "string", ("escapes", "long interpolation")),
        Region(r'(""")', ("string",), r'"""', "string", ("escapes",)),
    ),
    "strings": (
        Region(r'(re)(")', ("prefix", "regex"), r'"|$', "regex", ("regex", "class")),
        Region(r'(r)(")', ("prefix", "raw"), r'"|$', "raw"),
        Region(r'(f)(")', ("prefix", "string"), r'"|$', "string", ("escapes", "interpolation")),
        Region(r'(")', ("string",), r'"|$', "string", ("escapes",)),
    ),
    "escapes": (
        Rule(r'\\(?:[ntr0"\\{}]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})', ("escape",)),
        Rule(r"\\[^\n]", ("wrong",)),
    ),
    "interpolation": (
        Rule(r"\{\{|\}\}", ("escape",)),
        Region(r"(\{)", ("interpolated",), r'\}|(?=")|$', "interpolated", ("format", "expression")),
    ),
    "long interpolation": (
        Rule(r"\{\{|\}\}", ("escape",)),
        Region(r"(\{)", ("interpolated",), r'\}|(?=""")|$', "interpolated", ("format", "strings", "expression")),
    ),
    "format": (Rule(r':[^}"\n]*', ("format",)),),
    "regex": (
        Rule(r"\\[^\n]", ("escape",)),
        Rule(rf"\(\?(?:P?<{NAME}>|[:=!]|i:|<[=!])?|\)|\|", ("group",)),
        Rule(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??", ("quantifier",)),
    ),
    "class": (Region(r"(\[\^?\]?)", ("class",), r'\]|(?=")|$', "class", ("class escapes",)),),
    "long class": (Region(r"(\[\^?\]?)", ("class",), r"\]|$", "class", ("class escapes",)),),
    "class escapes": (Rule(r"\\[^\n]", ("escape",)),),
    "statements": (
        Rule(rf"({_words(*KINDS)})([ \t]+)({NAME})(?=[ \t]*[:{{])", ("kind", "space", "defined")),
        Rule(rf"{NO_KEYWORD}({NAME})([ \t]+){NO_KEYWORD}({NAME})(?=[ \t]*[:{{])", ("block", "space", "defined")),
        Rule(rf"{NO_KEYWORD}{NAME}(?=[ \t]*:[ \t]*{DOTTED}[ \t]*\{{)", ("block",)),
        Rule(rf"(:)([ \t]*)({DOTTED})(?=[ \t]*\{{)", ("punctuation", "space", "base")),
        Rule(rf"{NO_KEYWORD}{DOTTED}(?=[ \t]*\{{)", ("block",)),
        Rule(rf"{NO_KEYWORD}{DOTTED}(?=[ \t]*(?:\+=|=(?!=)))", ("field",)),
        Rule(_words(*DECLARE), ("declare",)),
    ),
    "expression": (
        Rule(r"[ \t\r\n]+", ("space",)),
        Rule(_words(*CONTROL), ("control",)),
        Rule(_words(*LOGIC), ("logic",)),
        Rule(_words(*CONSTANTS), ("constant",)),
        Rule(r"0x[0-9a-fA-F]+\b", ("number",)),
        Rule(rf"({DIGITS})({'|'.join(UNITS)})\b", ("number", "unit")),
        Rule(rf"{DIGITS}(?![A-Za-z0-9_])", ("number",)),
        Rule(rf"({DIGITS})([A-Za-z0-9_]+)", ("number", "wrong")),
        Rule(rf"{NAME}(?=[ \t]*\()", ("function",)),
        Rule(NAME, ("name",)),
        Rule(r"\*\*|//|==|!=|<=|>=|\+=|[-+*/%<>=]", ("operator",)),
        Rule(r"[{}\[\](),.:]", ("punctuation",)),
    ),
    "rest": (Rule(r"[^ \t\r\n]", ("wrong",)),),
}
ROOT = ("file", "long strings", "strings", "statements", "expression", "rest")
"""The sets that a file is read with, in order."""
