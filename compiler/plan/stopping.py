"""Conditions that end a training: what they read must be metrics of the run's evaluations."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...spec.expr import Expr
from ..resolve.cells import Cell
from ..resolve.problems import problem
from .plots import metrics_of

if TYPE_CHECKING:
    from .build import PlanBuilder


def check_stop(builder: PlanBuilder, root: Cell, when: Expr, evals: Mapping[str, str]) -> None:
    """Raise Problem (LM0506) for a name that is no metric of one of the run's evaluations, by name to node id."""
    stop = root.slots["stop"]
    assert stop is not None
    span = stop.fields["when"][-1].expr.span
    for name in when.names():
        head, _, metric = name.partition(".")
        if head not in evals:
            help = f"evaluations of this run are {', '.join(evals)}" if evals else "this run has no evaluation"
            raise problem("LM0506", span, f"`{name}` is no metric of an evaluation of this run", help=help)
        known = metrics_of(builder, type(builder.nodes[evals[head]].spec))
        if metric not in known:
            near = difflib.get_close_matches(metric, known, 1)
            help = f"did you mean `{head}.{near[0]}`?" if near else f"it has {', '.join(known)}"
            raise problem("LM0506", span, f"`{head}` has no metric `{metric}`", help=help)
