"""Which blocks of two plans are the same: by name, or by what they do under another name."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define, evolve

from ...spec.expr import Expr
from ...spec.identity import identity
from ...spec.plan import Node
from ...spec.schema import fields, kind_of
from .comparison import Block
from .sides import Side

DERIVED = ("automaton",)
"""Kinds that follow from others."""


@define
class Names:
    """Which blocks of one side are which of the other."""

    old: Side
    new: Side
    renamed: dict[tuple[str, str], str] = Factory(dict)
    gone: list[tuple[str, str]] = Factory(list)
    come: list[tuple[str, str]] = Factory(list)

    def __attrs_post_init__(self) -> None:
        one, two = ids_of(self.old), ids_of(self.new)
        whole = self.old.declared is not None and self.new.declared is not None
        before = sorted((self.old.declared if whole else None) or one)
        after = sorted((self.new.declared if whole else None) or two)
        self.gone = [block for block in before if block not in after]
        self.come = [block for block in after if block not in before]
        for block in list(self.gone):
            shared = {
                other: len(one.get(block, set()) & two.get(other, set())) for other in self.come if other[0] == block[0]
            }
            best = max(shared, key=lambda other: shared[other], default=None)
            if best is not None and shared[best]:
                self.renamed[block] = best[1]
                self.gone.remove(block)
                self.come.remove(best)
        self._plots()

    def _plots(self) -> None:
        """Find the plots that draw the same under another name; what they say is in the names of other blocks."""
        one, two = ({n.name: n.spec for n in s.plan.nodes.values() if _is_plot(n)} for s in (self.old, self.new))
        for kind, name in [block for block in self.gone if block[0] == "plot" and block[1] in one]:
            known = identity(translated(one[name], self.renamed))
            same = [other for _, other in self.come if other in two and identity(two[other]) == known]
            if same:
                self.renamed[kind, name] = same[0]
                self.gone.remove((kind, name))
                self.come.remove((kind, same[0]))

    def new_name(self, kind: str, name: str) -> str:
        """Return what a block of the old side is called on the new."""
        return self.renamed.get((kind, name), name)

    def blocks(self) -> tuple[tuple[Block, ...], tuple[Block, ...], tuple[Block, ...]]:
        """Return the blocks that are added, removed and renamed."""
        added = tuple(Block(kind, name, _declared(self.new, kind, name)) for kind, name in self.come)
        removed = tuple(Block(kind, name, _declared(self.old, kind, name)) for kind, name in self.gone)
        renamed = (
            Block(kind, name, _declared(self.new, kind, other), other) for (kind, name), other in self.renamed.items()
        )
        return added, removed, tuple(renamed)


def _is_plot(node: Node) -> bool:
    return kind_of(type(node.spec)) == "plot"


def ids_of(side: Side) -> dict[tuple[str, str], set[str]]:
    """Return the ids of the nodes of each block of a side."""
    found: dict[tuple[str, str], set[str]] = {}
    kinds = {target.name: target.kind for target in side.plan.targets}
    for node in side.plan.nodes.values():
        kind = kind_of(type(node.spec))
        if kind not in (*DERIVED, "train"):
            found.setdefault((kind, node.name), set()).add(node.id)
    for point in side.plan.points:
        found.setdefault((kinds[point.grid], point.grid), set()).add(point.run)
    return found


def _declared(side: Side, kind: str, name: str) -> str:
    nodes = side.plan.nodes.values()
    return side.place(next((n for n in nodes if n.name == name and kind_of(type(n.spec)) == kind), None))


def translated(spec: Any, renamed: dict[tuple[str, str], str]) -> Any:
    """Return a spec of the old side with what it says of blocks by name said in the names of the new side."""
    if kind_of(type(spec)) != "plot":
        return spec
    heads = {name: other for (_, name), other in renamed.items()}
    changes: dict[str, Any] = {"sources": tuple(heads.get(name, name) for name in spec.sources)}
    for name in fields(type(spec)):
        value = getattr(spec, name)
        if isinstance(value, Expr):
            changes[name] = _renamed(value, heads)
        elif isinstance(value, tuple) and any(isinstance(item, Expr) for item in value):
            changes[name] = tuple(_renamed(item, heads) for item in value)
    return evolve(spec, **changes)


def _renamed(expr: Expr, heads: dict[str, str]) -> Expr:
    return Expr(_renamed_tree(expr.tree, heads), expr.text)


def _renamed_tree(tree: Any, heads: dict[str, str]) -> Any:
    if not isinstance(tree, tuple) or not tree:
        return tree
    if tree[0] == "name":
        head, dot, rest = tree[1].partition(".")
        return ("name", heads.get(head, head) + dot + rest)
    return tuple(_renamed_tree(item, heads) if isinstance(item, tuple) else item for item in tree)
