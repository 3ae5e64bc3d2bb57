"""Components of tools: stores, protocols, and the automaton of protocols that are spoken together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.protocol import Automaton, CalculatorProtocol, PythonProtocol, SearchProtocol, SqlProtocol
from ...spec.store import Duckdb, Postgres, Sqlite
from ..generation.toolkit import Toolkit, build_toolkit
from ..inputs import is_made
from ..lock.opened import schema_of
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from ..stores.base import Database
from ..stores.open import make_store, open_store
from ..tokenizers.base import Tokenizer
from ..tools.executor import ToolExecutor
from ..tools.make import ToolSource
from .base import Component, StoredComponent


@builds(Sqlite, Duckdb, Postgres)
@frozen(kw_only=True)
class StoreNode(StoredComponent[Database]):
    """A database; made ones are artifacts of the run store, others are read where they are."""

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Write the made tables, or see that the described ones are there."""
        if is_made(self.spec):
            make_store(self.spec, session.root, folder.path)
        else:
            self._open(session, folder.path)
        return {}

    def build(self, session: Session) -> Database:
        """Open the database read-only."""
        return self._open(session, session.folder(self.node.id).path)

    def _open(self, session: Session, folder: Path) -> Database:
        """Open the database. Raises LmcError (LM0718) for other columns than the lock's."""
        database = open_store(self.spec, session.root, folder)
        session.check_opened(self.spec, lambda: schema_of(self.spec, database))
        return database


@builds(SqlProtocol, CalculatorProtocol, PythonProtocol, SearchProtocol)
@frozen(kw_only=True)
class ProtocolNode(Component[ToolSource]):
    """A tool protocol and the database that it asks, if it asks one."""

    store: StoreNode | None = None
    table: StoreNode | None = None

    def build(self, session: Session) -> ToolSource:
        """Return what the protocol's tool is made from."""
        node = self.store or self.table
        return ToolSource(self.spec, None if node is None else session.product(node), session.root)


@builds(Automaton)
@frozen(kw_only=True)
class AutomatonNode(Component[Toolkit]):
    """The token automaton of some protocols, and the tools that answer their calls."""

    protocols: tuple[ProtocolNode, ...]
    tokenizer: Component[Tokenizer]

    def build(self, session: Session) -> Toolkit:
        """Make the tools and lift the byte automaton over the vocabulary."""
        automata = self.spec.automata
        sources: list[ToolSource] = [session.product(protocol) for protocol in self.protocols]
        captures = [[slot.name for slot in protocol.captures] for protocol in automata.protocols]
        tools = [source.make(names) for source, names in zip(sources, captures, strict=True)]
        executor = ToolExecutor([source.spec for source in sources], tools)
        return build_toolkit(automata, session.product(self.tokenizer), executor)
