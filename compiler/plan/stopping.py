"""What decides over a training while it runs must be metrics of its evaluations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...spec.diagnostic import Edit
from ...spec.span import Span
from ...spec.train import Train
from ..resolve.cells import Cell
from ..resolve.problems import problem
from .plots import metric_span, metrics_of

if TYPE_CHECKING:
    from .build import PlanBuilder

CONDITIONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in")


def check_watched(builder: PlanBuilder, root: Cell, spec: Train, evals: Mapping[str, str]) -> None:
    """Check what `stop.when` and `keep.best` name against the run's evaluations, by name to node id.

    Raises Problem (LM0506) for a name that is no metric of one of them.
    """
    if spec.stop.when is None and not spec.keep.best:
        return
    for name, path in watched(spec):
        _check(builder, _written(root, path), name, evals)
    if spec.stop.when is not None and not _decides(spec.stop.when.tree):
        message, help = "`when` is no condition", "compare it, as in since_best(val.loss) >= 5"
        raise problem("LM0301", _written(root, ("stop", "when")), message, help=help)


def watched(spec: Train) -> list[tuple[str, tuple[str, str]]]:
    """Return the metrics that a train names, and the path of the field that does."""
    found = [(name, ("stop", "when")) for name in (spec.stop.when.names() if spec.stop.when else ())]
    return [*found, *([(spec.keep.best, ("keep", "best"))] if spec.keep.best else [])]


def _written(root: Cell, path: tuple[str, str]) -> Span:
    slot = root.slot(path[0])
    assert slot is not None
    return slot.fields[path[1]][-1].expr.span


def _decides(tree: tuple[Any, ...]) -> bool:
    """Whether an expression is true or false, and not a number."""
    if tree[0] == "op" and tree[1] in ("and", "or", "not"):
        return all(_decides(part) for part in tree[2])
    return (tree[0] == "op" and tree[1] in CONDITIONS) or (tree[0] == "value" and isinstance(tree[1], bool))


def _check(builder: PlanBuilder, span: Span, name: str, evals: Mapping[str, str]) -> None:
    head, _, metric = name.partition(".")
    if head not in evals:
        help = f"evaluations of this run are {', '.join(evals)}" if evals else "this run has no evaluation"
        raise problem("LM0506", span, f"`{name}` is no metric of an evaluation of this run", help=help)
    known = metrics_of(builder, type(builder.nodes[evals[head]].spec))
    if metric not in known:
        near = difflib.get_close_matches(metric, known, 1)
        help = f"did you mean `{head}.{near[0]}`?" if near else f"it has {', '.join(known)}"
        places = [metric_span(place, metric) for place in _places(span, name)]
        edits = tuple(Edit(place, near[0]) for place in places) if near else ()
        message = f"`{head}` has no metric `{metric}`"
        raise problem("LM0506", places[0] if places else span, message, help=help, edits=edits)


def _places(span: Span, name: str) -> list[Span]:
    """Return where an expression reads a name."""
    found = re.finditer(rf"(?<![\w.]){re.escape(name)}(?![\w.])", span.text)
    return [Span(span.source, span.start + match.start(), span.start + match.end()) for match in found]
