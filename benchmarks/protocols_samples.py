"""What the engines of bench_protocols.py run on: real vocabularies, patterns a to h and m, and texts that match them.

a is a tool call, b a date, c an e-mail address, d an object of JSON, e a query, f counts to 200, g lists names, h is
Unicode letters. m is no pattern but a monitor: free text in which calls are found.
"""

import sys
from pathlib import Path

import tiktoken

from lmc.runtime.protocols.vocabulary import Vocabulary
from lmc.runtime.tokenizers.splits import SPLIT_PATTERNS

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.protocols import PATTERNS, named

OPEN, CLOSE = "```sql\n", "\n```"
MONITOR = "m"
BATCH = 64
BOUNDED = r"[^`]{{0,{}}}"
END_OF_TEXT = "<|eod|>"

SAMPLES = {
    "a": (
        "```sql\nFIND birth_date FOR Ada Lovelace\n```",
        "```sql\nFIND home_town FOR Jean-Paul O'Neil Jr.\n```",
        "```sql\nFIND employer FOR Sofia Kovalevskaya\n```",
    ),
    "b": ("1815-12-10", "2024-02-29", "1906-12-09"),
    "c": (
        "ada.lovelace+1@analytical-engine.co.uk",
        "first_name.last-name%work@mail.department.example.org",
        "grace.brewster.murray.hopper@navy-yard.example.com",
    ),
    "d": (
        '{"name": "Ada Lovelace", "city": "London", "job": "mathematician and writer"}',
        '{"name": "Émile Zola", "city": "Paris", "job": "novelist"}',
    ),
    "e": (
        "SELECT birth_date FROM people_table WHERE name = 'Ada Lovelace'",
        "SELECT population FROM city WHERE name = 'São Paulo'",
    ),
    "f": (
        "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith, his chin nuzzled "
        "into his breast in an effort to escape the vile wind",
        "The analytical engine weaves algebraical patterns, just as the loom of Jacquard weaves flowers and leaves; it "
        "has no pretensions whatever to originate anything",
    ),
    "g": ("Sofia Kovalevskaya", "Evariste Galois", "Erwin Schrodinger", "Gottfried Leibniz"),
    "h": (
        "Augusta Ada King-Noel Countess of Lovelace born Byron",
        "Łukasz Żółć-O'Brien syn Małgorzaty Żółć z Łodzi",
        "Мария Склодовская-Кюри и Анри Беккерель",
        "山田 太郎 と 鈴木 花子 と 佐藤 次郎",
    ),
    MONITOR: (
        f"Let me look that up.\n{OPEN}FIND birth_date FOR Ada Lovelace{CLOSE} and then some more text",
        f"She was born in London, I think; `x` is code. {OPEN}FIND a FOR B{CLOSE}\nDone now.",
    ),
}

KEYS = tuple(SAMPLES)


def pattern_of(key: str) -> str | None:
    """Return the pattern of a key; None for the monitor."""
    return PATTERNS.get(key)


def load(name: str) -> tuple[Vocabulary, tiktoken.Encoding]:
    """Return a real vocabulary by name, and an encoder of the same ids."""
    words = named(name)
    ranks = {text: number for number, text in enumerate(words.texts) if text}
    pattern = SPLIT_PATTERNS[name]
    return words, tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=dict(words.specials))


def streams(encoding: tiktoken.Encoding, key: str) -> list[list[int]]:
    """Return the tokens of the samples of a pattern."""
    return [encoding.encode_ordinary(text) for text in SAMPLES[key]]


def together(found: list[list[int]], rows: int) -> list[list[int]]:
    """Return, step by step, the tokens of a batch that reads the samples in turn, as far as the shortest goes."""
    return [[found[row % len(found)][at] for row in range(rows)] for at in range(min(map(len, found)))]


def staggered(found: list[list[int]], rows: int) -> list[list[int]]:
    """Return, step by step, the tokens of a batch whose rows are at different places of the samples, read in a loop."""
    loop = [token for stream in found for token in stream]
    return [[loop[(row + at) % len(loop)] for row in range(rows)] for at in range(len(loop))]
