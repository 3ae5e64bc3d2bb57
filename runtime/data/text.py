"""Texts: documents joined to one stream and cut into sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...spec.data import Order, Text
from ...spec.diagnostic import Diagnostic, LmcError
from ..tokenizers.base import Tokenizer
from .batch import Example
from .documents import documents_of
from .order import Draw
from .token_cache import Say, silent, tokens_of
from .token_file import Ids


@frozen(eq=False)
class TextDataset:
    """A text cut into sequences of `seq_len` tokens and their next tokens.

    Attributes:
        parts: uint16[N] or uint32[N] ids by split, views of what may be mapped from a file.
        byte_lengths: int32[V], bytes of each id. documents: how many the text was joined from.
    """

    spec: Text
    parts: dict[str, Ids]
    byte_lengths: npt.NDArray[np.int32]
    documents: int = 1

    @property
    def order(self) -> Order:
        """How a training draws examples."""
        return self.spec.order

    @property
    def seed(self) -> int:
        """Seed of the order."""
        return self.spec.seed

    def size(self, split: Literal["train", "valid"]) -> int:
        """Return the number of whole sequences."""
        return max(0, (len(self.parts[split]) - 1) // self.spec.seq_len)

    def example(self, split: Literal["train", "valid"], draw: Draw) -> Example:
        """Return seq_len + 1 tokens; all but the last are trained."""
        at = draw.index * self.spec.seq_len
        tokens = self.parts[split][at : at + self.spec.seq_len + 1].astype(np.int32)
        trained = np.ones(len(tokens), dtype=np.bool_)
        trained[-1] = False
        return Example(tokens, trained)

    def trained(self, split: Literal["train", "valid"], draw: Draw) -> int:
        """Return the length of a sequence."""
        return self.spec.seq_len

    def bytes_trained(self, split: Literal["train", "valid"], index: int) -> int:
        """Return the bytes of every token but the first."""
        return int(self.byte_lengths[self.example(split, Draw(index, 0)).tokens[1:]].sum())

    def describe(self, batch: int = 128) -> str:
        """Return counts of documents, tokens and sequences; sequences need no padding."""
        kept = {split: len(tokens) for split, tokens in self.parts.items()}
        joined = f" in {self.documents:,} documents" if self.documents > 1 else ""
        used = self.size("train") * self.spec.seq_len + 1
        text = (
            f"text of {kept['train']:,} + {kept['valid']:,} tokens{joined}, {self.size('train'):,} sequences an epoch"
        )
        return f"{text}, no padding, {max(0, kept['train'] - used):,} tokens left over"


def build_text(spec: Text, tokenizer: Tokenizer, root: Path, say: Say = silent) -> TextDataset:
    """Read and tokenise a text, or map its tokens from the cache; `say` receives sentences about long work.

    Raises LmcError: LM0701 missing, LM0702 damaged or not UTF-8, LM0705 shorter than one sequence, LM0709 without the
    library of an extra, LM0717 for what cannot be loaded.
    """
    documents = documents_of(spec.source, root)
    end = tokenizer.specials[spec.document_end] if spec.document_end else None
    found = tokens_of(documents, tokenizer, end, say)
    cut = round(len(found.ids) * spec.split.train)
    last = cut + round(len(found.ids) * spec.split.valid)
    parts: dict[str, Ids] = {"train": found.ids[:cut], "valid": found.ids[cut:last]}
    dataset = TextDataset(spec, parts, tokenizer.byte_lengths(), found.documents)
    if dataset.size("train") < 1:
        share = "" if cut == len(found.ids) else f" of {len(found.ids):,}"
        needed = f"a sequence of {spec.seq_len:,} needs {spec.seq_len + 1:,}"
        message = f"`{documents.name}` has {cut:,} tokens{share} to train on; {needed}"
        help = "lower `seq_len`, or raise `split.train`" if share else "lower `seq_len`"
        raise LmcError(Diagnostic("LM0705", message, None, help=help))
    return dataset
