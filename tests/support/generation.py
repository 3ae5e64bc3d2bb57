"""Toolkits over small tokenizers, and a model that says what a script says, for tests of generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import evolve

from lmc.compiler.protocols.compile import ProtocolSource
from lmc.runtime.generation.engine import Engine
from lmc.runtime.generation.requests import Request, Transcript
from lmc.runtime.generation.toolkit import Toolkit, build_toolkit
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.tiktoken_bpe import TiktokenBpe, encoding_of
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.make import ToolSource
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.protocol import CalculatorProtocol, Reply, SqlProtocol, ToolCall, ToolProtocol
from lmc.spec.units import Pattern
from support.protocols import compiled, literal

FIND = r"FIND (?<attribute>[a-z_]+) FOR (?<name>[^\n`]{1,64})"
ATTRIBUTES = ("birth_date", "birth_place", "current_address", "occupation")
LOOKUP = SqlProtocol(
    store="s",
    call=ToolCall(open=Pattern("```sql\n"), body=Pattern(FIND, True), close=Pattern("\n```"), handover="<|database|>"),
    query="SELECT {attribute} FROM people WHERE name = :name",
    allow={"attribute": ATTRIBUTES},
    reply=Reply(
        suffix="<|assistant|>", empty="No result found", malformed="What?", too_many="Enough", error="The tool failed"
    ),
)
CALCULATOR = CalculatorProtocol(
    call=ToolCall(open=Pattern("<calc>"), body=Pattern(r"[0-9+*/() -]+", True), close=Pattern("</calc>")),
    expression=":body",
    reply=Reply(prefix="=", suffix=";", error="?"),
    max_calls=9,
)


def changed(spec: ToolProtocol, **fields: Any) -> Any:
    """A protocol with other fields; those of the call by their own names."""
    call = {name: value for name, value in fields.items() if hasattr(spec.call, name)}
    rest = {name: value for name, value in fields.items() if name not in call}
    return evolve(spec, call=evolve(spec.call, **call), **rest)


def source_of(spec: ToolProtocol, name: str) -> ProtocolSource:
    call = spec.call
    template = type(spec).template_field
    return ProtocolSource(
        name,
        literal(call.open.text, "re" if call.open.regex else ""),
        None if call.body is None else literal(call.body.text, "re" if call.body.regex else ""),
        literal(call.close.text, "re" if call.close.regex else ""),
        None if call.handover is None else literal(call.handover),
        literal(getattr(spec, template)) if template else None,
        getattr(spec, "allow", {}),
        literal(name).span,
        match=call.match,
        longest=call.overlap == "longest",
        constrained=spec.constrain == "inside",
    )


def toolkit_for(people: Database | None, tokenizer: Tokenizer, *specs: ToolProtocol) -> Toolkit:
    """The protocols spoken together, with their real tools."""
    automata = compiled(
        *(source_of(spec, f"tool{i}" if i else "lookup") for i, spec in enumerate(specs)),
        specials=list(tokenizer.specials),
    )
    captures = [[slot.name for slot in protocol.captures] for protocol in automata.protocols]
    tools = [ToolSource(s, people, Path()).make(names) for s, names in zip(specs, captures, strict=True)]
    return build_toolkit(automata, tokenizer, ToolExecutor(specs, tools))


def bpe(words: Sequence[str], specials: Sequence[str]) -> Tokenizer:
    """A byte-pair tokenizer that has these words as tokens, each merged from its left."""
    ranks = {bytes((byte,)): byte for byte in range(256)}
    for word in words:
        data = word.encode()
        for end in range(2, len(data) + 1):
            ranks.setdefault(data[:end], len(ranks))
    return TiktokenBpe(encoding_of(ranks, r"[\s\S]+"), specials)


class Script(TransformerModel):
    """A real model whose head is replaced: it says the next token of a script each time it is asked."""

    def __init__(self, says: Sequence[int], vocab: int) -> None:
        mixer, mlp = Attention(heads=1, kv_heads=1), SwiGLU(hidden=2)
        super().__init__(Transformer(vocab=vocab, layers=1, width=2, mixer=mixer, mlp=mlp))
        self.says, self.at, self.num_ids = says, 0, vocab

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*hidden.shape[:-1], self.num_ids)
        logits[..., self.says[min(self.at, len(self.says) - 1)]] = 1.0
        self.at += 1
        return logits


def scripted(
    tokenizer: Tokenizer,
    toolkit: Toolkit | None,
    says: str | Sequence[int],
    limit: int = 400,
    stop: tuple[str, ...] = (),
) -> Transcript:
    """What comes of a model that says this, text or tokens, after a question."""
    model = Script(tokenizer.encode_marked(says) if isinstance(says, str) else says, tokenizer.vocab_size)
    model.init_weights(0)
    prompt = tuple(tokenizer.encode_marked("<|user|>?<|assistant|>"))
    (transcript,) = Engine(model, tokenizer, toolkit).run([Request(prompt, limit, stop=stop)])
    return transcript


def said(tokenizer: Tokenizer, transcript: Transcript) -> str:
    return tokenizer.decode(transcript.tokens[transcript.prompt :])
