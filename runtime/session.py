"""A session: what one worker knows while it walks a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from ..spec.lock import Input, Lock
from ..spec.plan import Plan
from ..spec.records import Execution
from .events import Emit, Event
from .inputs import InputDigests
from .lock.names import names_opened
from .lock.opened import check_opened
from .placement import Placement
from .store.made import Made, blocks_of, source_of
from .store.run_store import NodeFolder, RunStore

if TYPE_CHECKING:
    from .components.base import Component

PRODUCTS_KEPT = 16
"""Products held in memory; a grid must not keep every model that it loaded."""


@define
class Session:
    """The plan, where it runs, and the products made so far.

    Attributes:
        components: every node of the plan, wired.
        names: what a node is called in messages (a training by its run's name).
        observers: evaluations and probes that look at a training while it runs, by the training's id.
        stop: whether to checkpoint and leave.
        started: wall time at which the command began; failures since then are not tried again.
        replay: whether probes of finished trainings repeat them to record.
        execution: an execution record that trainings are pinned to.
        lock: what the vocabularies and tables that are opened must be.
        source, blocks: what the plan was compiled from, and the block of each node, as the store keeps them.
    """

    plan: Plan
    components: Mapping[str, Component[Any]]
    names: Mapping[str, str]
    observers: Mapping[str, Sequence[str]]
    store: RunStore
    digests: InputDigests
    placement: Placement
    emit: Emit
    stop: Callable[[], bool]
    started: float
    replay: bool = False
    execution: Execution | None = None
    lock: Lock = Factory(Lock)
    products: dict[str, Any] = Factory(dict)
    source: dict[str, Any] = Factory(lambda self: source_of(self.plan.header, self.store.path), takes_self=True)
    blocks: dict[str, str] = Factory(lambda self: blocks_of(self.plan), takes_self=True)

    @property
    def root(self) -> Path:
        """The folder that paths in the plan are relative to."""
        return Path(self.plan.header.root)

    def product(self, component: Component[Any]) -> Any:
        """Return the product of a component, made at most once while it is kept."""
        key = component.node.id
        if key not in self.products:
            product = component.build(self)
            while len(self.products) >= PRODUCTS_KEPT:
                self.products.pop(next(iter(self.products)))
            self.products[key] = product
        else:
            self.products[key] = self.products.pop(key)
        return self.products[key]

    def folder(self, node_id: str) -> NodeFolder:
        """Return the folder of a stored node; nothing is created yet."""
        digest, name = self.digests.of(node_id), self.names.get(node_id, "")
        made = Made(self.source, self.blocks.get(node_id, ""), self.digests.files(node_id))
        return self.store.open_node(self.plan.nodes[node_id], digest, name, made)

    def check_opened(self, spec: Any, value: Callable[[], dict[Input, str]]) -> None:
        """Raise LmcError (LM0718) if what was opened for a spec is not what the lock says, if it lists that."""
        if any(item in self.lock.values for item in names_opened(spec)):
            check_opened(self.lock, value())

    def say(self, kind: Any, node_id: str, **data: Any) -> None:
        """Emit an event about a node."""
        component = self.components[node_id]
        self.emit(Event(kind, node_id, component.what, self.names.get(node_id) or component.node.name, data))
