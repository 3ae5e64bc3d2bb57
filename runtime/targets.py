"""Which nodes the words after `lmc run` stand for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan


def select(plan: Plan, blocks: Sequence[str]) -> list[str]:
    """Return the node ids of the named blocks, or of the plan's default ones.

    Raises LmcError (LM0807) for a name that is no block of the plan.
    """
    targets = {target.name: target for target in plan.targets}
    chosen = [target for target in plan.targets if target.default]
    if blocks:
        for block in blocks:
            if block not in targets:
                near = difflib.get_close_matches(block, targets, 1)
                help = f"did you mean `{near[0]}`?" if near else f"the plan has {', '.join(targets)}"
                raise LmcError(Diagnostic("LM0807", f"the plan has no block `{block}`", None, help=help))
        chosen = [targets[block] for block in blocks]
    return list(dict.fromkeys(node for target in chosen for node in target.nodes))
