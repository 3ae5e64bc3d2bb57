"""Which nodes the words after `lmc run` stand for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan


def select(plan: Plan, blocks: Sequence[str]) -> list[str]:
    """Return the node ids of the named blocks and runs, or of the plan's default blocks.

    Raises LmcError (LM0807) for a name that is neither.
    """
    known = {target.name: target.nodes for target in plan.targets}
    for point in plan.points:
        known.setdefault(point.name, (point.run, *point.evals.values(), *point.probes.values()))
    chosen = [target.nodes for target in plan.targets if target.default]
    if blocks:
        for block in blocks:
            if block not in known:
                near = difflib.get_close_matches(block, known, 1)
                blocks_there = ", ".join(target.name for target in plan.targets)
                help = f"did you mean `{near[0]}`?" if near else f"the plan has {blocks_there}, and runs of its grids"
                raise LmcError(Diagnostic("LM0807", f"the plan has no block or run `{block}`", None, help=help))
        chosen = [known[block] for block in blocks]
    return list(dict.fromkeys(node for nodes in chosen for node in nodes))
