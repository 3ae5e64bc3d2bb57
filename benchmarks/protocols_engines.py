"""Engines that turn patterns into masks over a vocabulary, behind one interface: lmc and its peers, each on one thread.

An engine holds one vocabulary and what was compiled last. `rows` are what it keeps of a batch that is being decoded.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tiktoken
from protocols_samples import BATCH, CLOSE, END_OF_TEXT, OPEN
from support.protocols import anchored, compiled, protocol

from lmc.compiler.protocols import dfa, nfa
from lmc.compiler.protocols.unicode import category
from lmc.runtime.protocols.lift import lift
from lmc.runtime.protocols.vocabulary import Vocabulary

Stages = Mapping[str, Callable[[], object]]
"""What makes up a compilation, in order."""


class Engine:
    """What is measured of every engine; one that cannot fill masks row by row stops after `stages`."""

    monitors = True
    decodes = True

    def __init__(self, words: Vocabulary, encoding: tiktoken.Encoding) -> None:
        self.words, self.encoding = words, encoding
        self.size = len(words.texts)
        self.end = words.specials[END_OF_TEXT]

    def prepare(self) -> None:
        """Make what is made once per vocabulary."""
        raise NotImplementedError

    def stages(self, pattern: str | None) -> Stages:
        """Return the stages of compiling a pattern, or the monitor."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what was compiled, and what is kept between compilations."""
        raise NotImplementedError

    def sizes(self) -> dict[str, int]:
        """Return figures of what was compiled."""
        return {}

    def rows(self, count: int) -> Any:
        """Return fresh rows at the beginning of the pattern."""
        raise NotImplementedError

    def ready(self, rows: Any, tokens: Sequence[int]) -> Any:
        """Return one token per row in the form that `accept` takes."""
        raise NotImplementedError

    def accept(self, rows: Any, ready: Any) -> Any:
        """Read one token per row."""
        raise NotImplementedError

    def fill(self, rows: Any) -> np.ndarray:
        """Return the masks of the next tokens, a bit per id."""
        raise NotImplementedError

    def constrain(self, rows: Any, logits: Any) -> Any:
        """Return float[B, V] logits with -inf where the mask of a row has no bit; None if there is no way to."""
        return None


class Lmc(Engine):
    """A pattern stands between two special tokens and is constrained; rows have read the first."""

    def __init__(self, words: Vocabulary, encoding: tiktoken.Encoding) -> None:
        super().__init__(words, encoding)
        import torch

        from lmc.runtime.protocols.state import DeviceAutomaton

        self.torch, self.make = torch, DeviceAutomaton

    def prepare(self) -> None:
        self.words = Vocabulary(self.words.texts, self.words.specials)
        _ = self.words.trie

    def stages(self, pattern: str | None) -> Stages:
        self.pattern = pattern
        return {"compile": self._compile, "lift": self._lift}

    def _compile(self) -> None:
        found = protocol(handover=None) if self.pattern is None else anchored(self.pattern)
        self.automata = compiled(found, specials=tuple(self.words.specials))

    def _lift(self) -> None:
        self.lifted = lift(self.automata.monitor, self.words)

    def forget(self) -> None:
        self.automata = self.lifted = self.tables = None
        for module in (nfa, dfa):
            for function in vars(module).values():
                if hasattr(function, "cache_clear"):
                    function.cache_clear()

    def sizes(self) -> dict[str, int]:
        states, columns = self.lifted.table.shape
        return {"bytes": self.lifted.nbytes, "states": states, "columns": columns}

    def rows(self, count: int, window: int = 0) -> Any:
        """Return rows of which the last `window` tokens can be taken back."""
        if self.tables is None:
            self.tables = self.make(self.lifted, self.torch.device("cpu"))
        rows = self.tables.initial(count, window), self.torch.ones(count, dtype=self.torch.bool)
        if self.pattern is not None:
            self.accept(rows, self.ready(rows, [self.words.specials["<|call|>"]] * count))
        return rows

    def ready(self, rows: Any, tokens: Sequence[int]) -> Any:
        return self.torch.tensor(tokens)

    def accept(self, rows: Any, ready: Any) -> Any:
        return self.tables.advance(rows[0], ready, rows[1])

    def fill(self, rows: Any) -> np.ndarray:
        return self.tables.masks.packed(rows[0].states.numpy())

    def constrain(self, rows: Any, logits: Any) -> Any:
        return self.tables.constrain(logits, rows[0].states)


class Xgrammar(Engine):
    def __init__(self, words: Vocabulary, encoding: tiktoken.Encoding) -> None:
        super().__init__(words, encoding)
        import xgrammar

        spelled = {number: spelling.encode() for spelling, number in words.specials.items()}
        self.texts = [text or spelled[number] for number, text in enumerate(words.texts)]
        self.lib = xgrammar
        self.batch = xgrammar.BatchGrammarMatcher(max_threads=1)
        self.mask = xgrammar.allocate_token_bitmask(BATCH, self.size)

    def prepare(self) -> None:
        self.info = self.lib.TokenizerInfo(self.texts, self.lib.VocabType.RAW, stop_token_ids=[self.end])

    def stages(self, pattern: str | None) -> Stages:
        self.compiler = self.lib.GrammarCompiler(self.info, max_threads=1, cache_enabled=False)
        if pattern is None:
            tag = {"type": "tag", "begin": OPEN, "content": {"type": "any_text"}, "end": CLOSE}
            tags = {"type": "triggered_tags", "triggers": [OPEN], "tags": [tag]}
            return {"compile": lambda: self._tags({"type": "structural_tag", "format": tags})}
        letters = "".join(f"{chr(low)}-{chr(high)}" for low, high in category("L") or ())
        return {"compile": lambda: self._regex(pattern.replace(r"\p{L}", letters))}

    def forget(self) -> None:
        self.grammar = None

    def _tags(self, tags: dict[str, Any]) -> None:
        self.grammar = self.compiler.compile_structural_tag(tags)

    def _regex(self, pattern: str) -> None:
        self.grammar = self.compiler.compile_regex(pattern)

    def sizes(self) -> dict[str, int]:
        return {"bytes": self.grammar.memory_size_bytes}

    def rows(self, count: int) -> Any:
        return [self.lib.GrammarMatcher(self.grammar) for _ in range(count)]

    def ready(self, rows: Any, tokens: Sequence[int]) -> Any:
        return tokens if len(rows) > 1 else tokens[0]

    def accept(self, rows: Any, ready: Any) -> Any:
        return (
            self.lib.BatchGrammarMatcher.batch_accept_token(rows, ready)
            if len(rows) > 1
            else rows[0].accept_token(ready)
        )

    def fill(self, rows: Any) -> np.ndarray:
        self.batch.batch_fill_next_token_bitmask(rows, self.mask[: len(rows)])
        return self.mask.numpy().view(np.uint8)

    def constrain(self, rows: Any, logits: Any) -> Any:
        self.fill(rows)
        self.lib.apply_token_bitmask_inplace(logits, self.mask, vocab_size=self.size)
        return logits


class Llguidance(Engine):
    def __init__(self, words: Vocabulary, encoding: tiktoken.Encoding) -> None:
        super().__init__(words, encoding)
        import llguidance
        import llguidance.tiktoken
        import llguidance.torch

        self.lib = llguidance
        self.executor = llguidance.LLExecutor(num_threads=1)
        self.mask = llguidance.torch.allocate_token_bitmask(BATCH, self.size)

    def prepare(self) -> None:
        make = self.lib.tiktoken.lltokenizer_from_encoding
        self.tokenizer = make(self.encoding, n_vocab=self.size, eos_token=self.end)

    def stages(self, pattern: str | None) -> Stages:
        return {"compile": lambda: self._build(pattern)}

    def forget(self) -> None:
        self.fresh = None

    def _build(self, pattern: str | None) -> None:
        matcher = self.lib.LLMatcher
        if pattern is None:
            grammar = matcher.grammar_from_lark(
                "%llguidance {}\nstart: (block)* TAIL\nblock: trigger body\n"
                f"trigger[lazy]: TEXT {json.dumps(OPEN)}\nbody[lazy]: TEXT {json.dumps(CLOSE)}\n"
                "TEXT: /(.|\\n)*/\nTAIL: /(.|\\n)*/\n"
            )
        else:
            grammar = matcher.grammar_from_regex(pattern)
        self.fresh = matcher(self.tokenizer, grammar)
        assert not self.fresh.is_error(), self.fresh.get_error()

    def rows(self, count: int) -> Any:
        return [self.fresh.deep_copy() for _ in range(count)]

    def ready(self, rows: Any, tokens: Sequence[int]) -> Any:
        return list(zip(rows, tokens, strict=True)) if len(rows) > 1 else tokens[0]

    def accept(self, rows: Any, ready: Any) -> Any:
        return self.executor.consume_token_par(ready) if len(rows) > 1 else rows[0].consume_token(ready)

    def fill(self, rows: Any) -> np.ndarray:
        pairs = [(row, at) for at, row in enumerate(rows)]
        self.lib.torch.fill_next_token_bitmask_par(self.executor, pairs, self.mask)
        return self.mask.numpy().view(np.uint8)


class Outlines(Engine):
    """outlines-core; it searches no text for calls, and has no masks of a batch."""

    monitors = False
    decodes = False

    def __init__(self, words: Vocabulary, encoding: tiktoken.Encoding) -> None:
        super().__init__(words, encoding)
        import outlines_core

        self.lib = outlines_core
        self.ids: dict[bytes, list[int]] = {}
        for number, text in enumerate(words.texts):
            if text:
                self.ids.setdefault(text, []).append(number)

    def prepare(self) -> None:
        self.vocabulary = self.lib.Vocabulary(self.end, self.ids)

    def stages(self, pattern: str | None) -> Stages:
        return {"compile": lambda: self._build(pattern)}

    def forget(self) -> None:
        self.index = None

    def _build(self, pattern: str | None) -> None:
        self.index = self.lib.Index(pattern, self.vocabulary)


ENGINES: Mapping[str, type[Engine]] = {
    "lmc": Lmc,
    "xgrammar": Xgrammar,
    "llguidance": Llguidance,
    "outlines_core": Outlines,
}
