"""What stands twice in a block: the order of statements would decide, and it never does."""

from __future__ import annotations

from ...spec.diagnostic import Diagnostics, Label
from ...spec.span import Span
from ..syntax import tree

AXES = ("over", "zip")


def check_twice(
    items: tuple[tree.Item, ...],
    diagnostics: Diagnostics,
    prefix: str = "",
    set_at: dict[str, Span] | None = None,
) -> None:
    """Record what stands twice in one body, or in one below it: unnamed blocks (LM0210) and fields set (LM0205)."""
    set_at = {} if set_at is None else set_at
    kinds: dict[str, tree.Name] = {}
    for item in items:
        if isinstance(item, tree.Assign) and item.op == "=":
            path, span = prefix + item.dotted, item.path[0].span.to(item.path[-1].span)
            if path in set_at:
                message, labels = f"`{path}` is set twice in a block", (Label(set_at[path], "first here"),)
                diagnostics.error("LM0205", span, message, labels=labels, help="keep one of them")
            set_at.setdefault(path, span)
        elif isinstance(item, tree.Block):
            kind = item.kind
            if item.name is None and kind.text != "zip" and kinds.setdefault(kind.text, kind) is not kind:
                message, labels = (
                    f"`{kind.text}` stands twice in a block",
                    (Label(kinds[kind.text].span, "first here"),),
                )
                diagnostics.error("LM0210", kind.span, message, labels=labels, help="write one block")
            elif kind.text not in AXES:  # an axis that is there twice is told where points are made
                name = kind.text if item.name is None else f"{kind.text} {item.name.text}"
                check_twice(item.items, diagnostics, f"{prefix}{name}.", set_at)
