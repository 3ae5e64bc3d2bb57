"""Dialogues whose replies tools write, and a model that recites them, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from lmc.runtime.data.dataset import DialogueDataset, build_dialogues
from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.models.cache import ModelCache
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
    """A real model whose head is replaced: it says the token that a text has where the cache ends. One lane only."""

    cache: ModelCache

    def __init__(self, text: list[int], vocab: int) -> None:
        mixer, mlp = Attention(heads=1, kv_heads=1), SwiGLU(hidden=2)
        super().__init__(Transformer(vocab=vocab, layers=1, width=2, mixer=mixer, mlp=mlp))
        self.text, self.vocab = text, vocab
        self.init_weights(0)

    def new_cache(self, rows: int, capacity: int) -> ModelCache:
        self.cache = super().new_cache(rows, capacity)
        return self.cache

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*hidden.shape[:-1], self.vocab)
        logits[..., self.text[min(int(self.cache.lengths[0]), len(self.text) - 1)]] = 1.0
        return logits
