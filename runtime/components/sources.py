"""Components that others read: mesh, data, model."""

from __future__ import annotations

from attrs import frozen

from ...spec.data import Dialogues, Mixture, Text
from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.mesh import Mesh
from ...spec.model import Transformer
from ..data.dataset import Dataset, build_dataset
from ..data.mixture import build_mixture
from ..models.build import build_model
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..registry import BUILDERS, builds
from ..session import Session
from ..tokenizers.base import Tokenizer
from ..weights import load as _load  # noqa: F401  (registers its builder)
from .base import Component
from .tokenizers import with_vocabulary
from .tools import AutomatonNode, ProtocolNode, StoreNode


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

    tokenizer: Component[Tokenizer]

    def build(self, session: Session) -> Dataset:
        """Read and tokenise the text, or map its tokens from the cache."""

        def say(text: str, share: float | None = None) -> None:
            session.say("note", self.node.id, text=text, share=share)

        return build_dataset(self.spec, session.product(self.tokenizer), session.root, None, say=say)


@builds(Dialogues)
@frozen(kw_only=True)
class DialoguesNode(Component[Dataset]):
    """Dialogues over the rows of a table; `spoken` and `automaton` are there if tools are asked for what they say."""

    tokenizer: Component[Tokenizer]
    rows: StoreNode
    protocols: tuple[ProtocolNode, ...] = ()
    spoken: tuple[ProtocolNode, ...] = ()
    automaton: AutomatonNode | None = None

    def build(self, session: Session) -> Dataset:
        """Write and tokenise the dialogues."""
        tokenizer, database = session.product(self.tokenizer), session.product(self.rows)
        toolkit = None if self.automaton is None else session.product(self.automaton)
        return build_dataset(self.spec, tokenizer, session.root, database, toolkit)


@builds(Mixture)
@frozen(kw_only=True)
class MixtureNode(Component[Dataset]):
    """Data sets that take turns; `read` are those of the parts, by the parts' names."""

    tokenizer: Component[Tokenizer]
    read: tuple[Component[Dataset], ...] = ()

    def build(self, session: Session) -> Dataset:
        """Mix the data sets of the parts."""
        return build_mixture(self.spec, tuple(session.product(data) for data in self.read))


@builds(Transformer)
@frozen(kw_only=True)
class ModelNode(Component[TransformerModel]):
    """An architecture and what trainings of it start from; trained weights belong to trainings."""

    tokenizer: Component[Tokenizer] | None = None

    def build(self, session: Session) -> TransformerModel:
        """Return the model with the weights that it starts from, where these are drawn those of seed 0."""
        model = build_model(self.filled(session), session.placement, 0)
        self.start(session, model, 0)
        return model

    def start(self, session: Session, model: TransformerModel, seed: int) -> None:
        """Fill a model of drawn weights with those of the spec, if it names any. Raises LmcError as the reader does."""
        if self.spec.weights is not None:
            BUILDERS[type(self.spec.weights)](self.spec.weights, model, session.root, seed)

    def filled(self, session: Session) -> Transformer:
        """Return the spec with its vocabulary. Raises LmcError (LM0406) if that is smaller than the tokenizer's."""
        return with_vocabulary(self.spec, None if self.tokenizer is None else session.product(self.tokenizer))
