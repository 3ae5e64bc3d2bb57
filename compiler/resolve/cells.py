"""Cells: a block as settings per field, weakest first, without any value computed.

mixer : attention { heads = 2 }     ->  cell.slots["mixer"] = Cell(Attention, fields={"heads": [2]})
data.count = 8   (in a train)       ->  world.edits += the same statement for the block that `data` refers to
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import attrs
from attrs import Factory, define, evolve, field, frozen

from ...spec.schema import REGISTRY, SPELLINGS, fields, hints, members, slot, variant_of, word_of
from ...spec.span import Span
from ..syntax import tree
from .declare import Decl, Module


@frozen(eq=False)
class Scope:
    """Where a name is looked up: cells from inside out, then a file.

    `variables` are of comprehensions; the free axes of a grid are expressions that read them.
    """

    cells: tuple[Cell, ...]
    module: Module
    variables: tuple[tuple[str, Any], ...] = ()

    def inside(self, cell: Cell) -> Scope:
        """Return the scope of statements in a nested block."""
        return evolve(self, cells=(cell, *self.cells))


@frozen(eq=False)
class BlockValue:
    """A block as a value: `attention { heads = 1 }`."""

    inline: tree.Inline
    scope: Scope


@frozen(eq=False)
class Constant:
    """An expression whose value is known: the value of an axis of structure."""

    value: Any
    span: Span


@frozen(eq=False)
class AxisRead:
    """An expression that reads the present value of an axis of a grid; `values` is how the values are written."""

    axis: int
    span: Span
    values: tree.Expr


AnyExpr = tree.Expr | Constant | AxisRead


@frozen(eq=False)
class Setting:
    """One statement about a field. `origin` says what kind of statement, for people."""

    expr: AnyExpr
    scope: Scope
    span: Span
    origin: str
    append: bool = False


@frozen(eq=False)
class Crossing:
    """A statement that goes on behind a reference: `data.count = 8` or `data { count = 8 }`."""

    owner: Cell
    field: str
    statement: tree.Assign | tree.Block | AxisStatement
    scope: Scope
    origin: str


@frozen(eq=False)
class AxisStatement:
    """`path = value of an axis`."""

    path: tuple[tree.Name, ...]
    expr: AnyExpr
    span: Span

    def rebound(self, root: Cell, variables: tuple[tuple[str, Any], ...]) -> AxisStatement:
        """Return the statement with a block, if that is its value, as written in the scope of a train's root.

        `variables` are the free axes of its grid.
        """
        value = self.expr.value if isinstance(self.expr, Constant) else None
        if not isinstance(value, BlockValue):
            return self
        scope = evolve(value.scope, cells=(root,), variables=variables)
        return evolve(self, expr=Constant(BlockValue(value.inline, scope), self.expr.span))


@frozen(eq=False)
class Late:
    """Statements that are applied to a train's root after all else; `scope` None is that root alone."""

    statement: tuple[tree.Item, ...] | AxisStatement
    scope: Scope | None
    origin: str


@frozen(eq=False)
class Choice:
    """A slot whose block an expression chooses: `learned {} if batch > 8 else nope {}`.

    `cells` are the blocks that it may be, by the id of their trees; `pick` computes the expression.
    """

    cells: dict[int, Cell]
    pick: Callable[[], Cell | None]


@define(eq=False)
class Cell:
    """A block, or a nested block, of one variant.

    Attributes:
        root: the declaration that the cell, or the one it is nested in, was made from.
        slots: fields that hold a block; read them by `slot`, write into them by `alternatives`.
        maps: fields with free keys. named: repeated blocks by field and name. none: slots that were set to `none`.
        late: of a stage, its statements, which are the train's in a world of their own.
    """

    cls: Any
    name: str
    span: Span
    root: Decl
    parent: Cell | None = field(default=None, repr=False)
    fields: dict[str, list[Setting]] = Factory(dict)
    slots: dict[str, Cell | Choice | None] = Factory(dict)
    maps: dict[str, dict[str, Setting]] = Factory(dict)
    named: dict[str, dict[str, Cell]] = Factory(dict)
    asserts: list[tuple[tree.Assert, Scope]] = Factory(list)
    late: list[Late] = Factory(list)
    poisoned: bool = False

    @property
    def kind(self) -> str:
        """The kind or slot of the block."""
        kind: str = self.cls.lmc_kind  # asked so often that a call would be felt
        return kind

    @property
    def what(self) -> str:
        """The block in a reader's words."""
        variant, word = variant_of(self.cls), word_of(self.kind)
        return f"{word} variant `{variant}`" if variant else f"`{word}`"

    @property
    def spoiled(self) -> bool:
        """Whether something was told of the block, or of the one around it where this one is not written."""
        implied = self.parent is not None and self.parent.span == self.span
        return self.poisoned or (implied and self.parent is not None and self.parent.spoiled)

    def chain(self) -> tuple[Cell, ...]:
        """Return the cell and those that it is nested in, from inside out."""
        return (self,) if self.parent is None else (self, *self.parent.chain())

    def slot(self, name: str) -> Cell | None:
        """Return the cell of a slot, made from the default where nothing was said; None for `none`."""
        if name not in self.slots:
            default = fields(self.cls)[name].default
            only = slot(self.cls, name).get("") if default is attrs.NOTHING else type(default)
            absent = only is None or default is None
            if absent and takes_value(self.cls, name):
                return None
            self.slots[name] = None if absent else Cell(only, name, self.span, self.root, self)
        held = self.slots[name]
        return held.pick() if isinstance(held, Choice) else held

    def alternatives(self, name: str) -> list[Cell]:
        """Return every cell that a slot may hold: more than one where an expression chooses."""
        held = self.slots.get(name)
        if isinstance(held, Choice):
            return list(held.cells.values())
        inner = self.slot(name)
        return [] if inner is None else [inner]

    def block_named(self, name: str) -> Cell | None:
        """Return the repeated block of that name."""
        return next((blocks[name] for blocks in self.named.values() if name in blocks), None)


def spelled(name: str) -> str:
    """Return a field's name as the language spells it."""
    return next((word for word, field_name in SPELLINGS.items() if field_name == name), name)


@cache
def is_map(cls: Any, name: str) -> bool:
    """Whether a field is a block with free keys."""
    return str(hints(cls)[name]).startswith("dict[") and not fields(cls)[name].metadata["repeat"]


@cache
def takes_value(cls: Any, name: str) -> bool:
    """Whether a slot holds a plain value as well: `source = file("a.txt")` beside `source : jsonl {}`."""
    found = [m for m in members(hints(cls)[name]) if m is not type(None)]
    return bool(slot(cls, name)) and not fields(cls)[name].metadata["repeat"] and not all(map(_is_block, found))


def _is_block(member: Any) -> bool:
    return hasattr(member, "lmc_kind")


def new_cell(decl: Decl) -> Cell:
    """Return the empty cell of a declaration."""
    return Cell(REGISTRY[decl.kind][decl.variant], decl.name, decl.name_span, decl)
