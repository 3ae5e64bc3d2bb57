"""Dialogues whose replies tools write, and a model that recites them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lmc.runtime.data.dataset import DialogueDataset, build_dialogues
from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.stores.base import Database, Row
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.spec.data import Dialogues
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.units import Glob

SPEAKERS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")
CALL = "```sql\nFIND occupation FOR {{name}}\n```"


def built(
    text: str, people: Database, toolkit: Toolkit | None, tokenizer: Tokenizer, folder: Path, **changes: object
) -> DialogueDataset:
    (folder / "a.txt").write_text(text, encoding="utf-8")
    fields = {"count": 6, "templates": Glob("a.txt"), "seq_len": 300, "replies": "tools", **changes}
    spec = Dialogues(tokenizer="t", rows="s/people", **fields)  # type: ignore[arg-type]
    return build_dialogues(spec, tokenizer, folder, people, toolkit)


def row_of(people: Database, number: int = 0) -> Row:
    return people.tables["people"].rows(number + 1)[number]


class Reciter(TransformerModel):
    """A real model whose head is replaced: it says the token that a text has where it is."""

    def __init__(self, text: list[int], vocab: int) -> None:
        mixer, mlp = Attention(heads=1, kv_heads=1), SwiGLU(hidden=2)
        super().__init__(Transformer(vocab=vocab, layers=1, width=2, mixer=mixer, mlp=mlp))
        self.text, self.at, self.vocab = text, 0, vocab
        self.init_weights(0)

    def hidden(self, tokens: torch.Tensor, layout: Any, cache: Any = None) -> torch.Tensor:
        found = super().hidden(tokens, layout, cache)
        self.at = int(cache.lengths[0])
        return found

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*hidden.shape[:-1], self.vocab)
        logits[..., self.text[min(self.at, len(self.text) - 1)]] = 1.0
        return logits
