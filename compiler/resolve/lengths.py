"""How long a train is: which of its fields says it, and what the others then are."""

from __future__ import annotations

from ...spec.schema import fields
from ..syntax import tree
from .cells import Cell, Setting
from .problems import problem

LENGTHS = ("steps", "tokens", "epochs")
SIZES = ("batch_schedule", "length_schedule")


def check_length(cell: Cell) -> None:
    """Raise Problem (LM0309) unless exactly one of `steps`, `tokens` and `epochs` says how long a train is."""
    said = {name: s[-1] for name in LENGTHS if (s := cell.fields.get(name)) and not _is_unset(s[-1])}
    if cell.named.get("stages"):
        return _check_unwritten(cell, list(said.values()))
    if len(said) != 1:
        both = " and ".join(f"`{name}`" for name in said)
        what = f"{both} are set" if said else f"train `{cell.name}` does not say how long it is"
        span = list(said.values())[-1].span if said else cell.span
        raise problem("LM0309", span, what, help="set exactly one of steps, tokens and epochs; the others follow")
    check_sizes(cell, *next(iter(said.items())))


def check_steps(cell: Cell, steps: int | None) -> None:
    """Raise Problem (LM0303) for a length in tokens that makes no step."""
    if steps is None or steps >= 1 or not (said := cell.fields.get("tokens")):
        return
    help = "a step is batch examples of data.seq_len tokens; raise `tokens`, or lower `batch`"
    raise problem("LM0303", said[-1].expr.span, f"the tokens of train `{cell.name}` make no step", help=help)


def _check_unwritten(cell: Cell, written: list[Setting]) -> None:
    """Raise Problem (LM0309) if a train that has stages says itself how long it is."""
    if written:
        help = "drop it, or write `= unset` where a train with a length gets stages"
        raise problem(
            "LM0309", written[0].span, f"the length of train `{cell.name}` is the sum of its stages'", help=help
        )


def check_sizes(cell: Cell, name: str, setting: Setting) -> None:
    """Raise Problem (LM0309) if steps of different sizes make a length that is not in steps say no number of them."""
    scheduled = [size for size in SIZES if cell.slot(size) is not None]
    if name == "epochs":
        scheduled = [size for size in scheduled if size == "batch_schedule"]
    if name != "steps" and scheduled:
        message = f"`{name}` says no number of steps beside `{scheduled[0]}`"
        raise problem("LM0309", setting.span, message, help="set `steps`")


def is_unknown(cell: Cell, name: str, epochs: bool) -> bool:
    """Whether only a run knows a length of a train; `epochs` says whether it is written in epochs."""
    if "epochs" not in fields(cell.cls) or name not in ("steps", "tokens"):
        return False
    return epochs or (name == "tokens" and any(cell.slot(size) is not None for size in SIZES))


def _is_unset(setting: Setting) -> bool:
    return isinstance(setting.expr, tree.Literal) and setting.expr.word in ("unset", "none")
