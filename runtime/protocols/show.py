"""`lmc show protocol --text`: a text explained over the tokens of any tokenizer of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...spec.automaton import Automata
from ...spec.tokenizer import BpeTokenizer
from ..inputs import read_text
from ..tokenizers.base import Tokenizer
from ..tokenizers.build import build_tokenizer
from ..tokenizers.splits import split, split_pattern
from ..tokenizers.tiktoken_bpe import TiktokenBpe, encoding_of
from ..tokenizers.train_bpe import train_bpe
from .cache import lifted_once
from .explain import as_table, explain
from .vocabulary import Vocabulary


def explain_text(automata: Automata, tokenizer: Any, root: Path, text: str, labels: Sequence[str]) -> str:
    """Return a table of what the automata make of a text, token by token.

    Args:
        automata: what was compiled.
        tokenizer: a spec; one that is trained is trained now.
        root: the folder that its files are relative to.
        text: the spelling of a declared special is that special.
        labels: what each state of the automaton is called.
    """
    built = _tokenizer(tokenizer, root)
    lifted = lifted_once(automata.monitor, Vocabulary(built.vocabulary(), built.specials))
    spellings = {number: spelling for spelling, number in built.specials.items()}
    steps = explain(automata, lifted, built.vocabulary(), spellings, built.encode_marked(text))
    return as_table(automata, list(steps), labels)


def _tokenizer(spec: Any, root: Path) -> Tokenizer:
    if not isinstance(spec, BpeTokenizer):
        return build_tokenizer(spec, root)
    pattern = split_pattern(spec.pattern)
    ranks = train_bpe(split(pattern, read_text(root / spec.source)), spec.size)
    return TiktokenBpe(encoding_of(ranks, pattern), spec.specials, spec.size)
