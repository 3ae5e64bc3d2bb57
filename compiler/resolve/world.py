"""Worlds: a train and every block that it reaches, each block once, with the edits that hold here alone.

Strength of what is said about a block, weakest first: its base chain, overlays that it names, its own fields; then,
through the train, the same order of the train's statements, the axes and `set` of a grid, `--with` and `--set`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from ...spec.canonical import Texts
from ...spec.diagnostic import Diagnostics
from ...spec.identity import identity
from ...spec.schema import fields
from ..syntax import tree
from .cells import AnyExpr, AxisStatement, Cell, Crossing, Late, Scope, new_cell
from .declare import Decl, Loader, Module, find_block
from .evaluate import Evaluator
from .memo import Memo
from .problems import Early, Problem, poison, problem
from .specs import Reader, neutral_defaults, read_spec, readers
from .stages import amend
from .values import DeclRef, PartRef, shown
from .writer import Writer

MOST_VALUES = 4
"""How many values a false assertion tells."""


@frozen(eq=False)
class Amendment:
    """A body that is applied to a block after everything else: an overlay of the command line, or one `--set`."""

    target: Decl
    items: tuple[tree.Item, ...]
    module: Module
    origin: str


@frozen(eq=False)
class Program:
    """What is the same in every world."""

    main: Module
    modules: tuple[Module, ...]
    overlays: dict[str, Decl]
    amendments: tuple[Amendment, ...]
    diagnostics: Diagnostics
    root: Path
    texts: Texts = Factory(Texts)


@define(eq=False)
class World:
    """Blocks as they are for one train; `train` None is the world of what no train reaches.

    `trail` are the trains that start from this one, one from another. `identified` are fields of the train that its
    identity covers here and not elsewhere. `settled` holds what no axis changes of a block,
    and which fields are left. `stages` are
    the worlds of the train's stages by name; each of them is the train again, with `stage` on top.
    """

    program: Program
    train: Decl | None
    late: tuple[Late, ...] = ()
    trail: tuple[Decl | None, ...] = ()
    identified: tuple[str, ...] = ()
    edits: list[Crossing] = field(factory=list)
    cells: dict[Decl, Cell] = field(factory=dict)
    memo: Memo = field(factory=Memo)
    others: dict[Decl, World] = field(factory=dict)
    naming: list[Cell] = field(factory=list)
    settled: dict[Cell, tuple[dict[str, Any], Sequence[tuple[str, Reader]]]] = field(factory=dict)
    stage: Cell | None = None
    stages: dict[str, World] = field(factory=dict)
    evaluator: Evaluator = field(init=False)
    root: Cell | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.evaluator = Evaluator(self, self.memo, self.program.root)
        if self.train is not None:
            self.root = self.instance(self.train)
            for late in self.late:
                self._apply_late(self.root, late.statement, late.scope, late.origin)
        for amendment in self.program.amendments:
            target = amendment.target
            if target.poisoned or target.kind == "grid" or (target.kind == "train" and target is not self.train):
                continue
            cell = self.instance(target)
            scope = Scope((cell,), amendment.module)
            Writer(self).apply(cell, amendment.items, scope, amendment.origin)
            self.cross()
        if self.stage is not None:
            amend(self, self.stage)
        elif self.root is not None:
            for name, stage in self.root.named.get("stages", {}).items():
                self.stages[name] = World(
                    self.program, self.train, self.late, self.trail, memo=self.memo, stage=stage, stages=self.stages
                )

    @property
    def diagnostics(self) -> Diagnostics:
        """Where mistakes go."""
        return self.program.diagnostics

    @property
    def modules(self) -> tuple[Module, ...]:
        """The files of the program."""
        return self.program.modules

    def _apply_late(self, root: Cell, statement: Any, scope: Scope | None, origin: str) -> None:
        scope = scope or Scope((root,), root.root.module)
        scope = evolve(scope, cells=(root, *(c for c in scope.cells if c is not root)))
        if isinstance(statement, AxisStatement):
            statement = statement.rebound(root, scope.variables)
            Writer(self).assign(root, statement.path, statement.expr, scope, origin, False, statement)
        else:
            Writer(self).apply(root, statement, scope, origin)
        self.cross()

    def instance(self, decl: Decl) -> Cell:
        """Return the cell of a block in this world. Raises Problem for a block that has no variant."""
        if decl.kind == "train" and self.train is not None and decl is not self.train:
            return self._other(decl)
        if decl not in self.cells:
            if decl.anonymous:
                Loader(self.diagnostics).link(decl)
            if decl.poisoned or decl.kind in ("grid", "overlay"):
                raise poison()
            cell = new_cell(decl)
            self.cells[decl] = cell
            for part in decl.chain:
                for overlay in named_overlays(part, self.program):
                    Writer(self).apply(cell, overlay.items, Scope((cell,), overlay.module), f"overlay `{overlay.name}`")
                origin = "own field" if part is decl else f"base `{part.name}`"
                Writer(self).apply(cell, part.items, Scope((cell,), part.module), origin)
            if decl is self.train or self.train is None:
                self.cross()
        return self.cells[decl]

    def _other(self, decl: Decl) -> Cell:
        return self.border(decl).instance(decl)

    def border(self, decl: Decl) -> World:
        """Return the world of another train, or this one of its own."""
        if decl is self.train:
            return self
        if decl not in self.others:
            self.others[decl] = World(self.program, decl, trail=(*self.trail, self.train), memo=self.memo)
        return self.others[decl]

    def cross(self) -> None:
        """Apply the statements that went on behind references, in order; they may go on behind others."""
        while self.edits:
            edit = self.edits.pop(0)
            try:
                cell = self._target(edit)
            except Problem as error:
                error.report(self.diagnostics)
                continue
            world = self.others.get(cell.root, self) if cell.kind == "train" and cell is not self.root else self
            writer = Writer(world)
            if isinstance(edit.statement, tree.Block):
                writer.apply(cell, edit.statement.items, edit.scope.inside(cell), edit.origin)
            else:
                statement = edit.statement
                expr = statement.expr if isinstance(statement, AxisStatement) else statement.value
                append = isinstance(statement, tree.Assign) and statement.op == "+="
                writer.assign(cell, statement.path, expr, edit.scope, edit.origin, append, statement)
            if world is not self:
                world.cross()

    def _target(self, edit: Crossing) -> Cell:
        settings = edit.owner.fields.get(edit.field, [])
        span = edit.statement.span
        if not settings and edit.owner.poisoned:
            raise poison()
        if not settings:
            raise problem("LM0209", span, f"`{edit.field}` refers to nothing that could be changed")
        top = settings[-1]
        try:
            value = self.evaluator.expr(top.expr, top.scope, (edit.owner, edit.field))
        except Early as error:
            message = f"`{edit.field}` is another block at every point of the grid, so nothing can be set through it"
            raise problem("LM0307", span, message, help="set it in the blocks themselves") from error
        if isinstance(value, PartRef):
            part = self.instance(value.decl).block_named(value.name)
            assert part is not None
            return part
        if not isinstance(value, DeclRef):
            raise problem("LM0310", span, f"`{edit.field}` refers to no block")
        return self.instance(value.decl)

    def chosen(self, cell: Cell, name: str, expr: AnyExpr, scope: Scope, cells: dict[int, Cell]) -> Cell | None:
        """Return which of `cells` an expression chooses for a slot. Raises Problem."""
        found: Cell | None = self.memo.once(
            ("chosen", cell, name), lambda: self.evaluator.chosen(cell, name, expr, scope, cells)
        )
        return found

    def spec(self, cell: Cell) -> Any:
        """Return the spec of a cell, its references as node ids. Raises Problem."""
        return self.memo.once(("spec", cell), lambda: read_spec(self, cell))

    def checked(self, key: Any, cells: Sequence[Cell], compute: Callable[[], Any]) -> Any:
        """Return compute(), which asks rules about the specs of cells: once for what differs where no rule looks."""

        def noting() -> Any:
            for cell in cells:
                for name, read in self.settled.get(cell, ((), readers(cell.cls)))[1]:
                    if not fields(cell.cls)[name].metadata["free"]:
                        read(self, cell, name)
            return compute()

        return self.memo.once(key, noting)

    def check(self, item: tree.Assert, scope: Scope) -> None:
        """Raise Problem (LM0308) unless an assertion holds."""
        if self.evaluator.expr(item.condition, scope) is not True:
            message = "an assertion does not hold"
            if item.message is not None:
                message = self.evaluator.expr(item.message, scope)
            label = self._values(item.condition, scope)
            raise problem(
                "LM0308", item.condition.span, message, label=label, help="change what it compares, or drop it"
            )

    def _values(self, condition: tree.Expr, scope: Scope) -> str:
        """Return what the names in a condition are, as a message tells it."""
        told: dict[str, str] = {}
        for ref in tree.references(condition):
            with contextlib.suppress(Problem):
                told.setdefault(" ".join(ref.span.text.split()), shown(self.evaluator.expr(ref, scope)))
        return ", ".join(f"{name} is {value}" for name, value in list(told.items())[:MOST_VALUES])

    def ids(self, value: Any) -> Any:
        """Return node ids in place of references."""
        if isinstance(value, tuple | list):
            return tuple(self.ids(item) for item in value)
        if isinstance(value, DeclRef):
            return self.node_id(self.instance(value.decl))
        if isinstance(value, PartRef):
            return f"{self.node_id(self.instance(value.decl))}/{value.name}"
        return value

    def node_id(self, cell: Cell) -> str:
        """Return the id of a block's node. Raises Problem."""
        if cell.kind == "train" and cell is not self.root and cell.root in self.others:
            return self.others[cell.root].node_id(cell)
        result: str = self.memo.once(("id", cell), lambda: self._identity(cell))
        return result

    def _identity(self, cell: Cell) -> str:
        if cell in self.naming:
            raise problem("LM0206", cell.span, f"{cell.kind} `{cell.name}` is made of itself")
        self.naming.append(cell)
        try:
            return identity(self.spec(cell), self.neutral(cell), self.program.texts)
        finally:
            self.naming.pop()

    def neutral(self, cell: Cell) -> dict[str, Any]:
        """Return, by path, what the derived defaults of a block are here."""
        found: dict[str, Any] = self.memo.once(("neutral", cell), lambda: neutral_defaults(self, cell))
        return found

    def evaluation(self, root: Cell, slot: str, field: str, name: str) -> Decl | None:
        """Return the evaluation that a train's `stop.when` or `keep.best` names: of the main file, or of its own."""
        inner = root.slot(slot)
        settings = inner.fields.get(field) if inner is not None else None
        for module in (self.program.main, settings[-1].scope.module if settings else root.root.module):
            found = module.names.get(name)
            if isinstance(found, Decl) and found.kind == "eval" and not found.poisoned:
                return found
        return None

    def reached(self) -> list[Cell]:
        """Return the cells of blocks in the order in which they were met."""
        staged = (cell for fork in self.stages.values() for cell in fork.cells.values())
        return [*self.cells.values(), *staged]


def named_overlays(decl: Decl, program: Program) -> list[Decl]:
    """Return the overlays that a block's `with` names."""
    found = []
    for item in decl.items:
        if isinstance(item, tree.Assign) and item.dotted == "with":
            listed: Sequence[Any] = item.value.items if isinstance(item.value, tree.ListExpr) else [item.value]
            for ref in listed:
                overlay = find_block(decl.module, ref) if isinstance(ref, tree.Ref) else None
                if isinstance(overlay, Decl) and overlay.kind == "overlay":
                    found.append(overlay)
                elif not isinstance(overlay, Decl) or not overlay.unread:
                    program.diagnostics.error("LM0509", ref.span, "`with` names overlays", help="write with = [name]")
    return found
