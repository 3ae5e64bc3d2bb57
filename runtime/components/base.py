"""What every component has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from attrs import fields, frozen

from ...spec.plan import Node
from ...spec.schema import kind_of
from ..session import Session
from ..store.run_store import NodeFolder

P = TypeVar("P")


@frozen(kw_only=True)
class Component(Generic[P]):
    """A node whose product is made in memory from its inputs.

    Subclasses have one more attribute per reference of their spec, under the same name: the component (or
    None, or a tuple of components) that the reference names.
    """

    node: Node

    @property
    def spec(self) -> Any:
        """The variant that the node was compiled to."""
        return self.node.spec

    @property
    def what(self) -> str:
        """The kind of the node with its name, for messages."""
        return f"{kind_of(type(self.spec))} {self.node.name}".strip()

    def inputs(self) -> Iterator[Component[Any]]:
        """Yield the components that this one reads."""
        for attribute in fields(type(self)):
            value = getattr(self, attribute.name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Component):
                    yield item

    @abstractmethod
    def build(self, session: Session) -> P:
        """Return the product. Call `session.product` instead: it makes each product once."""


@frozen(kw_only=True)
class StoredComponent(Component[P]):
    """A node whose product lies in a folder of the run store."""

    @abstractmethod
    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Do what is missing in `folder` and return a summary for `node.json`; resume a partial one.

        Raises LmcError for a user's mistake and Interrupted after a checkpoint when the session stops.
        """
