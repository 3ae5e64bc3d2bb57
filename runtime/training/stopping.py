"""When a training ends early: conditions over what its evaluations have found so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...spec.expr import Expr
from .saver import signed

Scores = Callable[[str], Sequence[tuple[int, dict[str, float]]]]
"""Returns, by the name of an evaluation, its metrics at the steps at which it was made, in order."""


class Metric(float):
    """The last value of a metric, which knows those before it.

    Attributes:
        since: evaluations made since the best one.
    """

    since: int

    @staticmethod
    def of(name: str, values: Sequence[float]) -> Metric:
        """Return the last of a metric's values, at least one."""
        found = Metric(values[-1])
        ranked = [signed(name, value) for value in values]
        found.since = len(values) - 1 - ranked.index(min(ranked))
        return found


def ends(when: Expr, scores: Scores, step: int) -> bool:
    """Whether a training ends after `step`: an evaluation that the condition reads has just been made, and it holds.

    Before each of them has been made once it does not.
    """
    found: dict[str, Metric] = {}
    fresh = False
    for name in when.names():
        head, _, metric = name.partition(".")
        lines = {at: values[metric] for at, values in scores(head) if at <= step and metric in values}
        if not lines:
            return False
        fresh = fresh or step in lines
        found[name] = Metric.of(metric, [lines[at] for at in sorted(lines)])
    return fresh and bool(when.evaluate(found.__getitem__, FUNCTIONS))


FUNCTIONS: dict[str, Callable[..., float]] = {
    "since_best": lambda metric: metric.since,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "round": round,
}
"""What a condition may call; `since_best` counts evaluations since the best one."""
