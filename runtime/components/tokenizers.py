"""Tokenizers: those that are read, and those that a run trains; the vocabulary that they give to models."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Transformer
from ...spec.model_rules import missing_ids
from ...spec.tokenizer import BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from ..inputs import read_text
from ..lock.opened import vocabulary_of
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from ..tokenizers.base import Tokenizer
from ..tokenizers.build import build_tokenizer, trained_tokenizer
from ..tokenizers.ranks import write_ranks
from ..tokenizers.splits import split, split_pattern
from ..tokenizers.train_bpe import train_bpe
from .base import Component, StoredComponent

VOCABULARY = "vocabulary.tiktoken"


@builds(ByteTokenizer, TiktokenTokenizer, HfTokenizer)
@frozen(kw_only=True)
class TokenizerNode(Component[Tokenizer]):
    """A tokenizer that needs no training."""

    def build(self, session: Session) -> Tokenizer:
        """Read the tokenizer. Raises LmcError (LM0718) for another vocabulary than the lock's."""
        tokenizer = build_tokenizer(self.spec, session.root)
        session.check_opened(self.spec, lambda: vocabulary_of(self.spec, tokenizer))
        return tokenizer


@builds(BpeTokenizer)
@frozen(kw_only=True)
class TrainedTokenizerNode(StoredComponent[Tokenizer]):
    """A tokenizer trained on a text; its vocabulary is a file that `tiktoken { file }` reads as well."""

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Train it, and say if the text gives fewer tokens than asked for."""
        spec: BpeTokenizer = self.spec
        text = read_text(session.root / spec.source)
        ranks = train_bpe(split(split_pattern(spec.pattern), text), spec.size)
        if len(ranks) < spec.size:
            note = f"the text gives {len(ranks):,} tokens; {spec.size - len(ranks):,} of {spec.size:,} ids are unused"
            session.say("note", self.node.id, text=note)
        write_ranks(folder.path / VOCABULARY, ranks)
        return {"tokens": len(ranks), "size": spec.size}

    def build(self, session: Session) -> Tokenizer:
        """Read the trained vocabulary. Raises LmcError (LM0718) for another than the lock's."""
        tokenizer = trained_tokenizer(self.spec, session.folder(self.node.id).path / VOCABULARY)
        session.check_opened(self.spec, lambda: vocabulary_of(self.spec, tokenizer))
        return tokenizer


def with_vocabulary(model: Transformer, tokenizer: Tokenizer | None) -> Transformer:
    """Return a model's spec with its vocabulary, taken from the tokenizer if the plan leaves it open.

    Raises LmcError (LM0406) for a model with fewer ids than the tokenizer.
    """
    if tokenizer is None:
        return model
    if model.vocab is None:
        return evolve(model, vocab=tokenizer.vocab_size)
    message = missing_ids(model.vocab, tokenizer.vocab_size)
    if message:
        raise LmcError(Diagnostic("LM0406", message, None, help="drop the model's `vocab`, or set its tokenizer"))
    return model
