"""The syntax tree of an `.lmspec` file: what was written, with spans, and nothing about what it means.

items    Import | Let | Assert | Assign | Block
exprs    Number | String | FString | Literal | Ref | Inline | Call | ListExpr | Comprehension | Unary | Binary | Cond
poison   Bad stands where something did not parse; no later pass complains about it again
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from typing import Literal as OneOf

import attrs
from attrs import field, frozen

from ...spec.shown import Shown
from ...spec.span import Span


@frozen(repr=False)
class Name(Shown):
    """A name or a quoted key, as written at `span`; `text` is the name itself."""

    text: str
    span: Span


@frozen(repr=False)
class Number(Shown):
    """A number, decimal-exact: `1.5B` has value 1.5 and suffix "B"; hexadecimal is already converted."""

    value: Decimal
    suffix: str
    span: Span


@frozen(repr=False)
class String(Shown):
    """A string without interpolation.

    `value` is the text after escapes and indentation; `prefix` is "", "r" or "re" ("re" strings keep backslashes).
    `offsets[i]` is the source offset of the i-th character of `value`, so that a span inside the literal can be named.
    """

    value: str
    prefix: OneOf["", "r", "re"]
    span: Span
    offsets: tuple[int, ...] = field(repr=False, eq=False, default=())


@frozen(repr=False)
class Interpolation(Shown):
    """`{expr:format}` inside an f-string."""

    expr: Expr
    format: str
    span: Span


@frozen(repr=False)
class FString(Shown):
    """An f-string: literal parts (str) and interpolations in order."""

    parts: tuple[str | Interpolation, ...]
    span: Span


@frozen(repr=False)
class Literal(Shown):
    """`true`, `false`, `none` or `unset`."""

    word: OneOf["true", "false", "none", "unset"]
    span: Span


@frozen(repr=False)
class Ref(Shown):
    """`a.b[i].c`: the first name, then names and index expressions."""

    head: Name
    tail: tuple[Name | Expr, ...]
    span: Span

    @property
    def dotted(self) -> str | None:
        """The reference as `a.b.c`, or None if it has an index."""
        names = [self.head.text]
        for part in self.tail:
            if not isinstance(part, Name):
                return None
            names.append(part.text)
        return ".".join(names)


@frozen(repr=False)
class Inline(Shown):
    """`attention { heads = 1 }` as a value."""

    base: Ref
    items: tuple[Item, ...]
    span: Span


@frozen(repr=False)
class Call(Shown):
    """`range(4, 84, 4)`; keyword arguments are (name, expr)."""

    name: Name
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[Name, Expr], ...]
    span: Span


@frozen(repr=False)
class ListExpr(Shown):
    """`[a, b]`."""

    items: tuple[Expr, ...]
    span: Span


@frozen(repr=False)
class Comprehension(Shown):
    """`[body for name in iterable if condition]`."""

    body: Expr
    name: Name
    iterable: Expr
    condition: Expr | None
    span: Span


@frozen(repr=False)
class Unary(Shown):
    """`-x`, `+x` or `not x`."""

    op: OneOf["-", "+", "not"]
    operand: Expr
    span: Span


@frozen(repr=False)
class Binary(Shown):
    """Two operands and an operator of the grammar: `or and == != <= >= < > in "not in" + - * / // % **`."""

    op: str
    left: Expr
    right: Expr
    span: Span
    op_span: Span


@frozen(repr=False)
class Cond(Shown):
    """`then if condition else other`."""

    then: Expr
    condition: Expr
    other: Expr
    span: Span


@frozen(repr=False)
class Bad(Shown):
    """What did not parse; already reported."""

    span: Span


Expr = (
    Number | String | FString | Literal | Ref | Inline | Call | ListExpr | Comprehension | Unary | Binary | Cond | Bad
)


@frozen(repr=False)
class Import(Shown):
    """`import "file" as name`."""

    path: String
    name: Name
    span: Span


@frozen(repr=False)
class Let(Shown):
    """`let name = expr`."""

    name: Name
    value: Expr
    span: Span


@frozen(repr=False)
class Assert(Shown):
    """`assert condition : "message"`; the message may be absent."""

    condition: Expr
    message: String | FString | None
    span: Span


@frozen(repr=False)
class Assign(Shown):
    """`path = expr` or `path += list`."""

    path: tuple[Name, ...]
    op: OneOf["=", "+="]
    value: Expr
    span: Span

    @property
    def dotted(self) -> str:
        """The path as `a.b.c`."""
        return ".".join(name.text for name in self.path)

    @property
    def as_block(self) -> Block | None:
        """The block form `name : base { ... }` of `name = base { ... }`, None for other assignments."""
        if len(self.path) > 1 or self.op != "=" or not isinstance(self.value, Inline):
            return None
        return Block(self.path[0], None, self.value.base, self.value.items, self.span)


@frozen(repr=False)
class Block(Shown):
    """`kind name : base { items }`; name and base may be absent."""

    kind: Name
    name: Name | None
    base: Ref | None
    items: tuple[Item, ...]
    span: Span


Item = Import | Let | Assert | Assign | Block | Bad


@frozen(repr=False)
class Comment(Shown):
    """`# text` with its place; the printer attaches comments by line."""

    text: str
    span: Span


@frozen(repr=False)
class File(Shown):
    """A parsed file."""

    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
    span: Span


def references(node: Any) -> Iterator[Ref]:
    """Yield the references in an expression, but those in comprehensions, which read variables."""
    if isinstance(node, Ref):
        yield node
    elif isinstance(node, tuple):
        for item in node:
            yield from references(item)
    elif attrs.has(type(node)) and not isinstance(node, Span | Comprehension):
        for attribute in attrs.fields(type(node)):
            yield from references(getattr(node, attribute.name))
