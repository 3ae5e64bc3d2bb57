"""What stands twice in a block though it has no name: the order of statements would decide, and it never does."""

from __future__ import annotations

from ...spec.diagnostic import Diagnostics, Label
from ..syntax import tree


def check_twice(items: tuple[tree.Item, ...], diagnostics: Diagnostics) -> None:
    """Record unnamed blocks that stand twice in one body, or in one below it (LM0210)."""
    seen: dict[str, tree.Name] = {}
    for item in items:
        if not isinstance(item, tree.Block):
            continue
        if item.name is None and item.kind.text != "zip":
            first = seen.setdefault(item.kind.text, item.kind)
            if first is not item.kind:
                message, labels = f"`{item.kind.text}` stands twice in a block", (Label(first.span, "first here"),)
                diagnostics.error("LM0210", item.kind.span, message, labels=labels, help="write one block")
        check_twice(item.items, diagnostics)
