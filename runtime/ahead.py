"""What a plan asks for that this version checks and cannot run: told before anything is done."""

from __future__ import annotations

from collections.abc import Iterable

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan


def check_runnable(plan: Plan, nodes: Iterable[str]) -> None:
    """Raise LmcError (LM0212) at the first of what these nodes ask for and no component can do."""
    found = {(lack.place, lack.what): None for node_id in nodes for lack in plan.nodes[node_id].lacks}
    if not found:
        return
    (place, what), *others = found
    message = f"this version checks {what}, and cannot run it"
    more = [f"{other} ({place})" for place, other in others]
    help = "run other blocks by name: lmc run PLAN BLOCK" + (f"; nor can {', '.join(more)}" if more else "")
    raise LmcError(Diagnostic("LM0212", message, None, help=help), (place.path, place.line, place.column, place.text))
