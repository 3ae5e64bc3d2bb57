"""Components that others read: tokenizer, store, protocol, automaton, mesh, data, model."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ...spec.data import Dialogues, Text
from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.mesh import Mesh
from ...spec.model import Transformer
from ...spec.protocol import Automaton, SqlProtocol
from ...spec.store import Sqlite
from ...spec.tokenizer import ByteTokenizer
from ..data.dataset import Dataset, build_dataset
from ..data.sqlite import Database, make_store, open_store
from ..data.tokenizer import Tokenizer, build_tokenizer
from ..generation.toolkit import Toolkit, build_toolkit
from ..inputs import is_made
from ..models.build import build_model
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from .base import Component, StoredComponent


@builds(ByteTokenizer)
@frozen(kw_only=True)
class TokenizerNode(Component[Tokenizer]):
    """A tokenizer."""

    def build(self, session: Session) -> Tokenizer:
        """Return the tokenizer."""
        return build_tokenizer(self.spec)


@builds(Sqlite)
@frozen(kw_only=True)
class StoreNode(StoredComponent[Database]):
    """A database; made ones are artifacts of the run store, others are read where they are."""

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Write the made tables."""
        if is_made(self.spec):
            make_store(self.spec, session.root, folder.path)
        else:
            open_store(self.spec, session.root, folder.path)
        return {}

    def build(self, session: Session) -> Database:
        """Open the database read-only."""
        return open_store(self.spec, session.root, session.folder(self.node.id).path)


@builds(SqlProtocol)
@frozen(kw_only=True)
class ProtocolNode(Component[SqlProtocol]):
    """A tool protocol and the database that it asks."""

    store: StoreNode

    def build(self, session: Session) -> SqlProtocol:
        """Return the protocol."""
        return self.spec  # type: ignore[no-any-return]


@builds(Automaton)
@frozen(kw_only=True)
class AutomatonNode(Component[Toolkit]):
    """The token automaton of some protocols, bound to their tools."""

    protocols: tuple[ProtocolNode, ...]
    tokenizer: TokenizerNode

    def build(self, session: Session) -> Toolkit:
        """Lift the byte automata over the vocabulary and bind each protocol to its database."""
        protocols = [session.product(protocol) for protocol in self.protocols]
        databases = [session.product(protocol.store) for protocol in self.protocols]
        device = session.placement.device
        return build_toolkit(protocols, self.spec.automata, session.product(self.tokenizer), databases, device)


@builds(Mesh)
@frozen(kw_only=True)
class MeshNode(Component[Placement]):
    """A mesh of one device."""

    def build(self, session: Session) -> Placement:
        """Return the session's placement. Raises LmcError (LM0212) for more than one device."""
        if self.spec.devices > 1:
            message = f"mesh `{self.node.name}` has {self.spec.devices} devices; this version runs on one"
            raise LmcError(Diagnostic("LM0212", message, None, help="set the train's mesh = unset"))
        return session.placement


@builds(Text)
@frozen(kw_only=True)
class TextNode(Component[Dataset]):
    """A text cut into sequences."""

    tokenizer: TokenizerNode

    def build(self, session: Session) -> Dataset:
        """Read and tokenise the text."""
        return build_dataset(self.spec, session.product(self.tokenizer), session.root, None)


@builds(Dialogues)
@frozen(kw_only=True)
class DialoguesNode(Component[Dataset]):
    """Dialogues over the rows of a table."""

    tokenizer: TokenizerNode
    rows: StoreNode
    protocols: tuple[ProtocolNode, ...] = ()

    def build(self, session: Session) -> Dataset:
        """Write and tokenise the dialogues."""
        tokenizer, database = session.product(self.tokenizer), session.product(self.rows)
        return build_dataset(self.spec, tokenizer, session.root, database)


@builds(Transformer)
@frozen(kw_only=True)
class ModelNode(Component[TransformerModel]):
    """An architecture; weights belong to trainings."""

    tokenizer: TokenizerNode | None = None

    def build(self, session: Session) -> TransformerModel:
        """Return the model with freshly drawn weights of seed 0."""
        return build_model(self.spec, session.placement, 0)
