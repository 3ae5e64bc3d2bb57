"""How published encodings split a text into pieces before merging; no token crosses a piece.

The patterns are those of tiktoken 0.14 (`tiktoken_ext/openai_public.py`), in the syntax of the `regex` module.
"""

from __future__ import annotations

import regex  # type: ignore[import-untyped]

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.units import Pattern

_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
)
SPLIT_PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": "|".join(_O200K),
}


PROBE = " aA1'\\ll\tb2,;\n\r\n  (é日) 's\n"


def split_pattern(pattern: Pattern) -> str:
    """Return the regular expression of a name, or the given one; a character that it leaves out is a piece of its own.

    Raises LmcError (LM0706) if it cannot be read or matches nothing at all somewhere.
    """
    if not pattern.regex:
        return SPLIT_PATTERNS[pattern.text]
    try:
        empty = any(match.group() == "" for text in ("", PROBE) for match in regex.finditer(pattern.text, text))
    except regex.error as error:
        raise unreadable(str(error)) from error
    if empty:
        raise unreadable("it matches the empty text")
    return f"(?:{pattern.text})|(?s:.)"


def unreadable(reason: str) -> LmcError:
    """Return the error for a pattern that cannot split a text."""
    help = 'name "gpt2", "cl100k" or "o200k", or write what one piece is'
    return LmcError(Diagnostic("LM0706", f"`pattern` of the tokenizer cannot be used: {reason}", None, help=help))


def split(pattern: str, text: str) -> list[str]:
    """Return the pieces of a text."""
    return [match.group() for match in regex.finditer(pattern, text)]
