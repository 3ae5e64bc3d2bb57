"""Lark's tree becomes ours: spans, numbers, strings, and the checks that need no names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from typing import Literal as OneOf

from lark import Token, Tree

from ...spec.diagnostic import Diagnostics, Edit
from ...spec.span import Source, Span
from . import tree
from .strings import Literal, read_literal

NUMBER = re.compile(r"(?P<digits>[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?)(?P<suffix>[A-Za-z]*)")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
DEEPEST = 100
FOREIGN: dict[str, OneOf["true", "false", "none"]] = {"True": "true", "False": "false", "None": "none", "null": "none"}
OPS = {"or_op": "or", "and_op": "and", "in_op": "in", "not_in_op": "not in"}
Node = Any


class Builder:
    """Builds the tree of one source; `bad` are the spans of statements that did not parse."""

    def __init__(self, source: Source, diagnostics: Diagnostics, bad: list[Span]) -> None:
        self.source, self.diagnostics, self.bad = source, diagnostics, list(bad)
        self.depth = 0

    def items(self, children: Sequence[Node], within: Span) -> tuple[tree.Item, ...]:
        """Return the statements of a body, with `Bad` for those in it that did not parse."""
        built: list[tree.Item] = [self.item(child) for child in children if isinstance(child, Tree)]
        for span in [span for span in self.bad if within.start <= span.start and span.end <= within.end]:
            self.bad.remove(span)
            built.append(tree.Bad(span))
        return tuple(built)

    def item(self, node: Tree[Token]) -> tree.Item:
        """Return one statement."""
        parts = [child for child in node.children if child is not None]
        if node.data == "import_":
            path = self.string(_first(parts, "STRING"))
            assert isinstance(path, tree.String)
            return tree.Import(path, self.name(_first(parts, "NAME")), self.span(node))
        if node.data == "let_":
            return tree.Let(self.name(_first(parts, "NAME")), self.expr(parts[-1]), self.span(node))
        if node.data == "assert_":
            trees = [part for part in parts if isinstance(part, Tree)]
            message = self.expr(trees[1]) if len(trees) > 1 else None
            assert message is None or isinstance(message, tree.String | tree.FString)
            return tree.Assert(self.expr(trees[0]), message, self.span(node))
        return self.assign(node) if node.data == "assign" else self.block(node)

    def assign(self, node: Tree[Token]) -> tree.Assign:
        """Return `path = expr`."""
        path, op, value = (child for child in node.children if child is not None)
        assert isinstance(path, Tree)
        names = tuple(self.name(token) for token in path.children if _is(token, "NAME", "STRING"))
        return tree.Assign(names, "=" if op == "=" else "+=", self.expr(value), self.span(node))

    def block(self, node: Tree[Token]) -> tree.Block:
        """Return `kind name : base { ... }`."""
        tokens = [child for child in node.children if _is(child, "NAME", "STRING")]
        trees = {child.data: child for child in node.children if isinstance(child, Tree)}
        base = self.ref(trees["ref"]) if "ref" in trees else None
        name = self.name(tokens[1]) if len(tokens) > 1 else None
        inner = self.span(trees["body"])
        self.depth += 1
        items = self.items(trees["body"].children, inner)
        self.depth -= 1
        return tree.Block(self.name(tokens[0]), name, base, items, self.span(node))

    def expr(self, node: Node) -> tree.Expr:
        """Return an expression."""
        if isinstance(node, Token):
            return self.string(node) if node.type != "NUMBER" else self.number(node)
        if self.depth > DEEPEST:
            message = f"operators and brackets are nested deeper than {DEEPEST}"
            self.diagnostics.error("LM0105", self.span(node), message, help="divide it by `let`")
            return tree.Bad(self.span(node))
        self.depth += 1
        built = self._compound(node)
        self.depth -= 1
        return built

    def _compound(self, node: Tree[Token]) -> tree.Expr:
        if node.data in ("wrapped", "group", "string"):
            inner = [child for child in node.children if not _is(child, "LPAR", "RPAR")]
            return self.expr(inner[0])
        if node.data in OPS or node.data in ("bin_op", "cmp_op", "pow_op"):
            return self.binary(node)
        method = getattr(self, {"list_": "list_expr"}.get(node.data, node.data), None)
        assert method is not None, node.data
        built: tree.Expr = method(node)
        if isinstance(built, tree.Ref) and not built.tail and built.head.text in FOREIGN:
            return tree.Literal(FOREIGN[built.head.text], built.span)
        return built

    def number(self, node: Node) -> tree.Number:
        """Return a number."""
        token = node if isinstance(node, Token) else node.children[0]
        span = self.span(token)
        if HEXADECIMAL.fullmatch(token):
            return tree.Number(Decimal(int(token, 16)), "", span)
        match = NUMBER.fullmatch(token)
        assert match is not None
        return tree.Number(Decimal(match["digits"].replace("_", "")), match["suffix"], span)

    def string(self, token: Token) -> tree.String | tree.FString:
        """Return a string; the parts of an f-string are parsed with their own places."""
        span = self.span(token)
        literal = read_literal(self.source, span.start, span.end, self.diagnostics)
        if "f" in literal.prefix:
            return self.fstring(literal, span)
        prefix: Any = "re" if literal.prefix == "re" else "r" if literal.prefix == "r" else ""
        return tree.String(literal.text, prefix, span, literal.offsets)

    def fstring(self, literal: Literal, span: Span) -> tree.FString:
        """Split an f-string at `{expr:format}`; `{{` and `}}` are braces."""
        parts: list[str | tree.Interpolation] = []
        text, at = "", 0
        while at < len(literal.text):
            char = literal.text[at]
            if char in "{}" and literal.text[at : at + 2] == char * 2:
                text, at = text + char, at + 2
            elif char == "{":
                end = literal.text.find("}", at)
                if end < 0:
                    self.diagnostics.error("LM0102", span, "a `{` in the f-string is never closed", help="write {{")
                    break
                parts += [text] if text else []
                parts.append(self.interpolation(literal, at + 1, end))
                text, at = "", end + 1
            else:
                text, at = text + char, at + 1
        return tree.FString((*parts, text) if text else tuple(parts), span)

    def interpolation(self, literal: Literal, start: int, end: int) -> tree.Interpolation:
        """Parse the expression at [start, end) of a literal's characters where it stands in the source."""
        from .parse import parse_expression

        inner = literal.text[start:end]
        expr_text, colon, format_ = inner.partition(":")
        begin = literal.offsets[start] if start < len(literal.offsets) else literal.offsets[-1]
        stop = literal.offsets[start + len(expr_text) - 1] + 1 if expr_text else begin
        span = Span(self.source, begin, stop)
        if not expr_text.strip():
            self.diagnostics.error("LM0102", Span(self.source, begin - 1, begin + 1), "`{}` has no expression")
            return tree.Interpolation(tree.Bad(span), "", span)
        expr = parse_expression(self.source, self.diagnostics, span)
        return tree.Interpolation(expr, format_ if colon else "", span)

    def ref(self, node: Tree[Token]) -> tree.Ref:
        """Return `a.b[i]`; words of other languages for true, false and none are corrected."""
        span = self.span(node)
        tail: list[tree.Name | tree.Expr] = []
        children = node.children[1:]
        for at, child in enumerate(children):
            if _is(child, "NAME"):
                tail.append(self.name(child))
            elif not _is(child, "DOT", "LSQB", "RSQB"):
                tail.append(self.expr(children[at]))
        head = self.name(node.children[0])
        if head.text in FOREIGN and not tail:
            right = FOREIGN[head.text]
            help = f"write `{right}`"
            self.diagnostics.error(
                "LM0108", span, f"`{head.text}` is not a word here", help=help, edits=(Edit(span, right),)
            )
        return tree.Ref(head, tuple(tail), span)

    def inline(self, node: Tree[Token]) -> tree.Inline:
        """Return `base { ... }`."""
        base, body = node.children
        assert isinstance(body, Tree)
        return tree.Inline(self.ref(_as_tree(base)), self.items(body.children, self.span(body)), self.span(node))

    def call(self, node: Tree[Token]) -> tree.Call:
        """Return `name(args)`."""
        args: list[tree.Expr] = []
        kwargs: list[tuple[tree.Name, tree.Expr]] = []
        for child in node.children[1:]:
            if isinstance(child, Tree) and child.data == "kwarg":
                kwargs.append((self.name(child.children[0]), self.expr(child.children[-1])))
            elif child is not None and not _is(child, "LPAR", "RPAR", "COMMA"):
                args.append(self.expr(child))
        return tree.Call(self.name(node.children[0]), tuple(args), tuple(kwargs), self.span(node))

    def list_expr(self, node: Tree[Token]) -> tree.ListExpr:
        """Return `[...]`."""
        return tree.ListExpr(tuple(self.expr(child) for child in _values(node)), self.span(node))

    def comp(self, node: Tree[Token]) -> tree.Comprehension:
        """Return `[body for name in iterable if condition]`."""
        values = _values(node)
        at = next(i for i, value in enumerate(values) if _is(value, "NAME"))
        condition = self.expr(values[at + 2]) if len(values) > at + 2 else None
        return tree.Comprehension(
            self.expr(values[0]), self.name(values[at]), self.expr(values[at + 1]), condition, self.span(node)
        )

    def cond(self, node: Tree[Token]) -> tree.Cond:
        """Return `then if condition else other`."""
        then, condition, other = (self.expr(child) for child in _values(node))
        return tree.Cond(then, condition, other, self.span(node))

    def not_op(self, node: Tree[Token]) -> tree.Unary:
        """Return `not x`."""
        return tree.Unary("not", self.expr(_values(node)[0]), self.span(node))

    def neg(self, node: Tree[Token]) -> tree.Unary:
        """Return `-x` or `+x`."""
        return tree.Unary("-" if node.children[0] == "-" else "+", self.expr(node.children[1]), self.span(node))

    def binary(self, node: Tree[Token]) -> tree.Binary:
        """Return two operands and their operator."""
        values = _values(node)
        left, right = self.expr(values[0]), self.expr(values[-1])
        between = Span(self.source, left.span.end, right.span.start)
        if len(values) == 3:
            return tree.Binary(str(values[1]), left, right, left.span.to(right.span), self.span(values[1]))
        return tree.Binary(OPS[node.data], left, right, left.span.to(right.span), between)

    def true(self, node: Tree[Token]) -> tree.Literal:
        """Return `true`."""
        return tree.Literal("true", self.span(node))

    def false(self, node: Tree[Token]) -> tree.Literal:
        """Return `false`."""
        return tree.Literal("false", self.span(node))

    def none(self, node: Tree[Token]) -> tree.Literal:
        """Return `none`."""
        return tree.Literal("none", self.span(node))

    def unset(self, node: Tree[Token]) -> tree.Literal:
        """Return `unset`."""
        return tree.Literal("unset", self.span(node))

    def name(self, token: Node) -> tree.Name:
        """Return a name or a quoted key."""
        assert isinstance(token, Token)
        span = self.span(token)
        if token.type == "STRING":
            return tree.Name(read_literal(self.source, span.start, span.end, self.diagnostics).text, span)
        return tree.Name(str(token), span)

    def span(self, node: Node) -> Span:
        """Return the characters of a token, or from the first to the last token of a tree."""
        return Span(self.source, _end(node, 0).start_pos or 0, _end(node, -1).end_pos or 0)


def _end(node: Node, side: int) -> Token:
    """Return the first (side 0) or last (side -1) token of a tree."""
    while not isinstance(node, Token):
        children = node.children
        node = children[side]
        if node is None:
            node = [child for child in children if child is not None][side]
    return node


def _is(node: Node, *types: str) -> bool:
    return isinstance(node, Token) and node.type in types


def _first(parts: Sequence[Node], type_: str) -> Token:
    found: Token = next(part for part in parts if _is(part, type_))
    return found


def _as_tree(node: Node) -> Tree[Token]:
    assert isinstance(node, Tree)
    return node


KEYWORD_TYPES = ("LPAR", "RPAR", "LSQB", "RSQB", "COMMA", "IF", "ELSE", "FOR", "IN", "NOT", "AND", "OR")


def _values(node: Tree[Token]) -> list[Node]:
    return [child for child in node.children if child is not None and not _is(child, *KEYWORD_TYPES)]
