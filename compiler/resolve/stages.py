"""Stages: each is the train in a world of its own, with the stage's statements on top.

    stage long { steps = 2k, data.seq_len = 1Ki }   ->   the world of the train, then these two statements

So late binding, references and axes work in a stage as they do in the train, and no stage sees another's edits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from ...spec.schema import fields
from ...spec.stage import Stage
from ..syntax import tree
from .cells import AxisStatement, Cell, Late, Scope, Setting
from .lengths import LENGTHS, check_sizes
from .problems import poison, problem
from .values import DeclRef
from .writer import Writer

if TYPE_CHECKING:
    from .world import World

ANYTHING: Mapping[str, Any] = {}
"""Below such a field a stage may set all."""
MAY_SET: dict[str, Any] = {
    "steps": ANYTHING,
    "tokens": ANYTHING,
    "batch": ANYTHING,
    "micro_batch": ANYTHING,
    "data": ANYTHING,
    "model": {"positions": ANYTHING},
    "schedule": ANYTHING,
    "optim": {"lr": ANYTHING},
}
HELP = "a stage sets steps or tokens, batch, micro_batch, data, model.positions, schedule, optim.lr"
INSTEAD: Mapping[str, str] = {
    "epochs": "set steps or tokens: where a stage ends must be known before the run counts examples",
    "batch_schedule": "set it in the train: it runs over all stages, with the `batch` of each as its peak",
    "length_schedule": "set it in the train: it runs over all stages, with the `data.seq_len` of each as its peak",
}
"""What to do about fields that a reader may look for in a stage."""


def amend(world: World, stage: Cell) -> None:
    """Apply the statements of a stage to the train of its world, which has all else already."""
    root = world.root
    assert root is not None
    if stage.name in fields(root.cls):
        message = f"stage `{stage.name}` bears the name of a field of the train"
        world.diagnostics.error("LM0205", stage.span, message, help="choose another name")
        stage.poisoned = True
        return
    for name in LENGTHS:
        root.fields.pop(name, None)
    root.asserts.clear()
    for late in stage.late:
        scope = Scope((root,), root.root.module) if late.scope is None else evolve(late.scope, cells=(root,))
        origin = f"stage `{stage.name}`" + ("" if late.origin == "own field" else f", {late.origin}")
        _apply(world, root, late, scope, origin)


def _apply(world: World, root: Cell, late: Late, scope: Scope, origin: str) -> None:
    if isinstance(late.statement, AxisStatement):
        if not _refused(world, late.statement):
            axis = late.statement.rebound(root, scope.variables)
            Writer(world).assign(root, axis.path, axis.expr, scope, origin, False, axis)
    else:
        allowed = tuple(item for item in late.statement if not _refused(world, item))
        Writer(world).apply(root, allowed, scope, origin)
    world.cross()


def _refused(world: World, statement: tree.Item | AxisStatement) -> bool:
    """Record a statement that a stage may not make."""
    name = _misplaced(statement, MAY_SET)
    if name is None:
        return False
    world.diagnostics.error("LM0203", name.span, f"a stage cannot set `{name.text}`", help=INSTEAD.get(name.text, HELP))
    return True


def _misplaced(statement: tree.Item | AxisStatement, allowed: Mapping[str, Any]) -> tree.Name | None:
    """Return the name in a statement that leads out of what is allowed, if one does."""
    path: tuple[tree.Name, ...]
    items: tuple[tree.Item, ...] = ()
    if isinstance(statement, tree.Assign | AxisStatement):
        path = statement.path
    elif isinstance(statement, tree.Block):
        path, items = (statement.kind,), statement.items
    else:
        return None
    for name in path:
        if name.text not in allowed:
            return name
        allowed = allowed[name.text]
        if allowed is ANYTHING:
            return None
    if not isinstance(statement, tree.Block) or statement.base is not None:
        return path[-1]
    return next(filter(None, (_misplaced(item, allowed) for item in items)), None)


def stages_of(world: World, cell: Cell) -> tuple[Stage, ...]:
    """Return the stages of a train as specs, their references as node ids. Raises Problem."""
    if not cell.named.get("stages"):
        return ()
    blocks = [_block(world, cell)]
    found = []
    for fork in world.border(cell.root).stages.values():
        root = fork.root
        assert root is not None
        block = _block(fork, root)
        if block not in blocks:
            blocks.append(block)
        found.append(_stage(fork, root, blocks.index(block)))
    return tuple(found)


def _block(world: World, root: Cell) -> Any:
    """Return what tells the block that `data` is from others: anonymous ones are made anew in each world."""
    value = world.evaluator.value(root, "data")
    assert isinstance(value, DeclRef)
    return value.decl.span if value.decl.anonymous else value.decl


def _stage(fork: World, root: Cell, block: int) -> Stage:
    stage, optim = fork.stage, root.slot("optim")
    assert stage is not None
    assert optim is not None
    length = _length(fork)
    values = {name: fork.evaluator.value(root, name) for name in ("steps", "tokens", "batch", "micro_batch")}
    if values["steps"] < 1:
        raise problem("LM0303", length.expr.span, f"stage `{stage.name}` has no step", help="a step is batch examples")
    for item, scope in root.asserts:
        fork.check(item, scope)
    schedule = root.slot("schedule")
    return Stage(
        name=stage.name,
        data=fork.ids(fork.evaluator.value(root, "data")),
        model=fork.ids(fork.evaluator.value(root, "model")),
        block=block,
        lr=fork.evaluator.value(optim, "lr"),
        schedule=fork.spec(schedule) if schedule is not None and _own_schedule(stage) else None,
        **values,
    )


def _length(fork: World) -> Setting:
    """Return what says how long a stage is. Raises Problem (LM0309) unless one statement does."""
    stage, root = fork.stage, fork.root
    assert stage is not None
    assert root is not None
    if stage.poisoned:
        raise poison()
    said = [(name, settings[-1]) for name in LENGTHS if (settings := root.fields.get(name))]
    if len(said) != 1:
        what = "says more than once" if said else "does not say"
        span = said[1][1].span if said else stage.span
        raise problem("LM0309", span, f"stage `{stage.name}` {what} how long it is", help="set steps or tokens in it")
    check_sizes(root, *said[0])
    return said[0][1]


def _own_schedule(stage: Cell) -> bool:
    """Whether a statement of a stage is about the schedule."""
    said = [late.statement if isinstance(late.statement, tuple) else (late.statement,) for late in stage.late]
    items = [item for statements in said for item in statements]
    heads = {item.path[0].text for item in items if isinstance(item, tree.Assign | AxisStatement)}
    return "schedule" in heads | {item.kind.text for item in items if isinstance(item, tree.Block)}


def total(world: World, cell: Cell, name: str) -> Any:
    """Return the sum of a length over the stages of a train, or None for what is no such sum. Raises Problem."""
    if name not in ("steps", "tokens") or not cell.named.get("stages"):
        return None
    whole = world.border(cell.root)
    if whole.stage is not None:
        return None
    for fork in whole.stages.values():
        _length(fork)
    return sum(fork.evaluator.value(fork.root, name) for fork in whole.stages.values() if fork.root)
