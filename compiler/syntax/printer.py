"""A syntax tree as canonical text: what is printed parses back to the same tree. Comments are not printed."""

from __future__ import annotations

from typing import Any

from . import tree

INDENT = "  "
LEVELS = {"or": 1, "and": 2, "not": 3, "in": 4, "not in": 4, "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6, "**": 8}
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
ATOM = 9


def to_text(file: tree.File) -> str:
    """Return a file's statements as text."""
    return "".join(statement(item, 0) + "\n" for item in file.items)


def statement(item: tree.Item, depth: int) -> str:
    """Return one statement, indented."""
    pad = INDENT * depth
    if isinstance(item, tree.Import):
        return f"{pad}import {_quoted(item.path.value)} as {item.name.text}"
    if isinstance(item, tree.Let):
        return f"{pad}let {item.name.text} = {expr_text(item.value)}"
    if isinstance(item, tree.Assert):
        message = "" if item.message is None else f" : {expr_text(item.message)}"
        return f"{pad}assert {expr_text(item.condition)}{message}"
    if isinstance(item, tree.Assign):
        path = ".".join([_key(item.path[0]), *(name.text for name in item.path[1:])])
        return f"{pad}{path} {'+=' if item.op == '+=' else '='} {expr_text(item.value)}"
    if isinstance(item, tree.Block):
        name = "" if item.name is None else f" {_key(item.name)}"
        base = "" if item.base is None else f" : {expr_text(item.base)}"
        inner = "".join(statement(child, depth + 1) + "\n" for child in item.items)
        return (
            f"{pad}{item.kind.text}{name}{base} {{\n{inner}{pad}}}"
            if inner
            else f"{pad}{item.kind.text}{name}{base} {{}}"
        )
    raise ValueError("a tree with mistakes cannot be printed")


def expr_text(expr: tree.Expr) -> str:
    """Return an expression with the fewest parentheses."""
    return _expr(expr)[0]


def _expr(expr: Any) -> tuple[str, int]:
    """Return the text of an expression and how strongly it binds."""
    if isinstance(expr, tree.Number):
        return f"{expr.value:f}{expr.suffix}" if expr.suffix else str(expr.value), ATOM
    if isinstance(expr, tree.String):
        return _string(expr), ATOM
    if isinstance(expr, tree.FString):
        return f'f"{"".join(map(_part, expr.parts))}"', ATOM
    if isinstance(expr, tree.Literal):
        return expr.word, ATOM
    if isinstance(expr, tree.Ref):
        tail = "".join(f".{p.text}" if isinstance(p, tree.Name) else f"[{expr_text(p)}]" for p in expr.tail)
        return expr.head.text + tail, ATOM
    if isinstance(expr, tree.Inline):
        items = ", ".join(statement(item, 0) for item in expr.items)
        return f"{expr_text(expr.base)} {{ {items} }}" if items else f"{expr_text(expr.base)} {{}}", ATOM
    if isinstance(expr, tree.Call):
        args = [*map(expr_text, expr.args), *(f"{name.text} = {expr_text(value)}" for name, value in expr.kwargs)]
        return f"{expr.name.text}({', '.join(args)})", ATOM
    if isinstance(expr, tree.ListExpr):
        return f"[{', '.join(map(expr_text, expr.items))}]", ATOM
    if isinstance(expr, tree.Comprehension):
        condition = "" if expr.condition is None else f" if {_at(expr.condition, 1)}"
        return f"[{expr_text(expr.body)} for {expr.name.text} in {_at(expr.iterable, 1)}{condition}]", ATOM
    if isinstance(expr, tree.Cond):
        return f"{_at(expr.then, 1)} if {_at(expr.condition, 1)} else {expr_text(expr.other)}", 0
    if isinstance(expr, tree.Unary):
        return (f"not {_at(expr.operand, 3)}", 3) if expr.op == "not" else (f"{expr.op}{_at(expr.operand, 7)}", 7)
    if isinstance(expr, tree.Binary):
        return _binary(expr)
    raise ValueError("a tree with mistakes cannot be printed")


def _binary(expr: tree.Binary) -> tuple[str, int]:
    level = 4 if expr.op in COMPARISONS else LEVELS[expr.op]
    left, right = (ATOM, 7) if expr.op == "**" else (level + (level == 4), level + 1)
    return f"{_at(expr.left, left)} {expr.op} {_at(expr.right, right)}", level


def _at(expr: tree.Expr, level: int) -> str:
    text, own = _expr(expr)
    return text if own >= level else f"({text})"


def _string(expr: tree.String) -> str:
    if expr.prefix == "":
        return _quoted(expr.value)
    if '"' in expr.value or "\n" in expr.value:
        return f'{expr.prefix}"""{expr.value}"""' if expr.prefix == "r" else f'{expr.prefix}"{expr.value}"'
    return f'{expr.prefix}"{expr.value}"'


def _part(part: Any) -> str:
    if isinstance(part, str):
        return _quoted(part)[1:-1].replace("{", "{{").replace("}", "}}")
    return "{" + expr_text(part.expr) + (f":{part.format}" if part.format else "") + "}"


def _quoted(text: str) -> str:
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    )
    return '"' + "".join(c if c.isprintable() or ord(c) > 126 else f"\\x{ord(c):02x}" for c in escaped) + '"'


def _key(name: tree.Name) -> str:
    return name.text if name.text.isidentifier() and name.text.isascii() else _quoted(name.text)
