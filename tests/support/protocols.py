"""Protocols written in Python, small vocabularies, and a reader of tokens, for tests."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lmc.compiler.protocols.compile import ProtocolSource, compile_protocols
from lmc.compiler.syntax.tree import String
from lmc.runtime.protocols.lift import TokenAutomaton
from lmc.runtime.protocols.vocabulary import Vocabulary
from lmc.spec.automaton import Automata
from lmc.spec.diagnostic import Diagnostic, Diagnostics
from lmc.spec.span import Source, Span

SPECIALS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>", "<|call|>", "<|end|>")
DB = "<|database|>"
FIND = r"FIND (?<attribute>[a-z_]+) FOR (?<name>[^\n`]{1,64})"


def literal(text: str, prefix: str = "") -> String:
    source = Source("x.lmspec", text)
    return String(text, prefix, Span(source, 0, len(text)), tuple(range(len(text))))  # type: ignore[arg-type]


def protocol(
    body: str | None = None,
    open_: str = "```sql\n",
    close: str = "\n```",
    handover: str | None = DB,
    template: str | None = None,
    name: str = "lookup",
    allow: Mapping[str, Any] | None = None,
    regex: Sequence[str] = (),
    **options: Any,
) -> ProtocolSource:
    """`regex` names the delimiters that are patterns."""
    return ProtocolSource(
        name,
        literal(open_, "re" if "open" in regex else ""),
        None if body is None else literal(body, "re"),
        literal(close, "re" if "close" in regex else ""),
        None if handover is None else literal(handover),
        None if template is None else literal(template),
        allow or {},
        literal(name).span,
        **options,
    )


def anchored(body: str, **options: Any) -> ProtocolSource:
    """A pattern between two special tokens that what is sampled must match."""
    return protocol(body, "<|call|>", "<|end|>", None, match="special", **{"constrained": True, **options})


def compiled(*protocols: ProtocolSource, specials: Sequence[str] = SPECIALS) -> Automata:
    diagnostics = Diagnostics()
    automata = compile_protocols(protocols, specials, diagnostics)
    assert automata is not None, diagnostics.items
    return automata


def refused(*protocols: ProtocolSource) -> list[Diagnostic]:
    diagnostics = Diagnostics()
    assert compile_protocols(protocols, SPECIALS, diagnostics) is None
    return diagnostics.items


def vocabulary(words: Iterable[bytes | None] = (), specials: Sequence[str] = SPECIALS) -> Vocabulary:
    """All bytes, then words, then special tokens."""
    texts = [*(bytes((byte,)) for byte in range(256)), *words]
    return Vocabulary([*texts, *(None for _ in specials)], {s: len(texts) + i for i, s in enumerate(specials)})


PIECES = [
    "```sql\n",
    "\n```",
    "```",
    "``",
    "`\n\n",
    "\n\n",
    " FOR",
    "FIND",
    " a",
    "é",
    "Ż",
    "日本",
    "Zo\u00eb",
    " x",
    "ab",
]


def random_bpe(seed: int, merges: int = 300, specials: Sequence[str] = SPECIALS) -> Vocabulary:
    """A byte-pair vocabulary whose merges are drawn from text made of hard pieces, in random order."""
    rng = random.Random(seed)
    corpus = [[bytes((b,)) for b in "".join(rng.choices(PIECES, k=6)).encode()] for _ in range(60)]
    words: list[bytes] = []
    for _ in range(merges):
        row = rng.choice(corpus)
        if len(row) < 2:
            continue
        at = rng.randrange(len(row) - 1)
        joined = row[at] + row[at + 1]
        if len(joined) > 24:
            continue
        row[at : at + 2] = [joined]
        if joined not in words:
            words.append(joined)
    return vocabulary(words, specials)


def ids_of(found: Vocabulary) -> dict[bytes | str, int]:
    """The id of each text and each special token; of equal texts the first."""
    ids: dict[bytes | str, int] = dict(found.specials)
    for number, text in enumerate(found.texts):
        if text:
            ids.setdefault(text, number)
    return ids


def cut(text: bytes, ids: Mapping[bytes | str, int], rng: random.Random, longest: int = 24) -> list[int]:
    """A random tokenization of bytes."""
    tokens, at = [], 0
    while at < len(text):
        size = rng.choice([n for n in range(1, min(longest, len(text) - at) + 1) if text[at : at + n] in ids])
        tokens.append(ids[text[at : at + size]])
        at += size
    return tokens


NAMES = (
    "Ada Lovelace|Alan Turing|Grace Hopper|Emmy Noether|Kurt Godel|Alonzo Church|Noam Chomsky|Claude Shannon|"
    "John Backus|Peter Naur|Edsger Dijkstra|Tony Hoare|Donald Knuth|Barbara Liskov|Leslie Lamport|Robin Milner|"
    "Dana Scott|Michael Rabin|Stephen Kleene|Haskell Curry|Marie Curie|Niels Bohr|Max Planck|Albert Einstein|"
    "Paul Dirac|"
    "Erwin Schrodinger|Werner Heisenberg|Enrico Fermi|Richard Feynman|Lise Meitner|Carl Gauss|Leonhard Euler|"
    "Bernhard Riemann|David Hilbert|Henri Poincare|Georg Cantor|Felix Klein|Sophus Lie|Evariste Galois|Niels Abel|"
    "Pierre Fermat|Blaise Pascal|Rene Descartes|Isaac Newton|Gottfried Leibniz|Joseph Lagrange|Pierre Laplace|"
    "Joseph Fourier|Simeon Poisson|Sofia Kovalevskaya"
)
PATTERNS = {
    "a": r"```sql\nFIND [a-z_]+ FOR [A-Za-z .'-]+\n```",
    "b": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "c": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "d": r'\{"name": "[^"\\\n]*", "city": "[^"\\\n]*", "job": "[^"\\\n]*"\}',
    "e": r"SELECT [a-z_]+ FROM [a-z_]+ WHERE name = '[^'\n]{1,40}'",
    "f": r"[^`]{0,200}",
    "g": NAMES,
    "h": r"[\p{L} '-]+",
}
"""Patterns that engines for constrained decoding are compared on, of which f counts far, g lists and h is Unicode."""

REAL = {"cl100k": "LMC_CL100K", "o200k": "LMC_O200K"}
"""Real vocabularies, by the environment variable that names a .tiktoken file."""
AT_HAND = [name for name, variable in REAL.items() if os.environ.get(variable)]


@cache
def named(name: str) -> Vocabulary:
    """The vocabulary of bytes, a random BPE, or a real one."""
    if name not in REAL:
        return vocabulary() if name == "byte" else random_bpe(1)
    lines = [line.split() for line in Path(os.environ[REAL[name]]).read_bytes().splitlines()]
    words = [base64.b64decode(text) for text, _ in lines]
    return Vocabulary([*words, *(None for _ in SPECIALS)], {s: len(words) + i for i, s in enumerate(SPECIALS)})


Fired = list[tuple[str, int, int]]


class Reader:
    """One row that reads tokens by the tables; keeps events as (kind, protocol, absolute position)."""

    def __init__(self, automaton: TokenAutomaton) -> None:
        self.automaton = automaton
        self.state, self.position = 0, 0
        self.registers = [-1] * automaton.num_registers
        self.events: Fired = []

    def read(self, tokens: Iterable[int]) -> Reader:
        for token in tokens:
            states, effects = self.automaton.advance(np.array([self.state]), np.array([token]))
            effect = int(effects[0])
            for event in self.automaton.events[effect]:
                self.events.append((event.event.kind, event.event.protocol, self.position + event.offset))
            self.registers = self.automaton.write(self.registers, effect, self.position)
            self.state = int(states[0])
            self.position += int(self.automaton.lengths[token])
        return self

    def allowed(self) -> np.ndarray:
        return self.automaton.mask(np.array([self.state]))[0]


def captures(automata: Automata, number: int, registers: Sequence[int], text: bytes) -> dict[str, bytes]:
    """What the registers say of a call."""
    slots = automata.protocols[number].captures
    return {s.name: text[registers[s.begin] : registers[s.end]] for s in slots if registers[s.end] >= 0}
