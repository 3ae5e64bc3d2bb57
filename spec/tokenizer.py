"""Tokenizers. Vocabulary sizes are arithmetic where they can be known without reading a file; None where not."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from attrs.validators import ge

from .schema import option, variant
from .units import FilePath, Pattern

MARK = r"<\|[^|<>\s]+\|>"
"""What looks like a special token and must be declared where marks are read."""

SPLITS = ("gpt2", "cl100k", "o200k")
"""Names of published patterns that split a text before merging."""

Encoding = Literal["gpt2", "r50k_base", "p50k_base", "p50k_edit", "cl100k_base", "o200k_base", "o200k_harmony"]

_END = frozenset({"<|endoftext|>"})
_FILL_IN = frozenset({"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"})
_PROMPT = _END | {"<|endofprompt|>"}
_HARMONY = ("startoftext", "return", "constrain", "channel", "start", "end", "message", "call")
_RESERVED = (200000, 200001, 200004, 200009, 200010, 200011, *range(200013, 201088))
ENCODINGS: dict[str, tuple[int, frozenset[str]]] = {
    "gpt2": (50_257, _END),
    "r50k_base": (50_257, _END),
    "p50k_base": (50_281, _END),
    "p50k_edit": (50_284, _END | _FILL_IN),
    "cl100k_base": (100_277, _PROMPT | _FILL_IN),
    "o200k_base": (200_019, _PROMPT),
    "o200k_harmony": (
        201_088,
        _PROMPT | {f"<|{name}|>" for name in _HARMONY} | {f"<|reserved_{i}|>" for i in _RESERVED},
    ),
}
"""Of each encoding of tiktoken: the number of ids, unused ones included, and its own special tokens."""


@variant("tokenizer", "byte")
@frozen(kw_only=True, repr=False)
class ByteTokenizer:
    """One token per UTF-8 byte (ids 0..255), then the declared special tokens in order."""

    specials: tuple[str, ...] = option("Special tokens, numbered from 256 in this order.", default=())

    @property
    def vocab(self) -> int:
        """Number of token ids."""
        return 256 + len(self.specials)


@variant("tokenizer", "tiktoken")
@frozen(kw_only=True, repr=False)
class TiktokenTokenizer:
    """Byte-level BPE of the tiktoken library (Sennrich et al. 2016; Radford et al. 2019)."""

    encoding: Encoding | None = option("A published encoding, loaded and cached by the library.", default=None)
    file: FilePath | None = option("Ranks in the library's text format: base64 token, space, rank.", default=None)
    pattern: Pattern | None = option(
        'How the text of a `file` is split before merging: "gpt2", "cl100k", "o200k" or re"...".',
        derived='"cl100k" if encoding == none else none',
        default=None,
    )
    specials: tuple[str, ...] = option(
        "Special tokens; those that the encoding lacks are numbered after its vocabulary in this order.", default=()
    )

    @property
    def vocab(self) -> int | None:
        """Number of token ids; None before the file is read."""
        if self.encoding is None:
            return None
        size, own = ENCODINGS[self.encoding]
        return size + sum(spelling not in own for spelling in self.specials)


@variant("tokenizer", "bpe")
@frozen(kw_only=True, repr=False)
class BpeTokenizer:
    """Byte-level BPE trained on a text when the graph runs.

    The next token is the byte string that two neighbouring tokens of the text spell most often; of equally frequent
    ones the smallest in byte order.
    """

    size: int = option(
        "Number of text ids: 256 bytes, then merges; unused where the text gives fewer.", unit="ids", validator=ge(256)
    )
    source: FilePath = option("UTF-8 text file that it is trained on.")
    pattern: Pattern = option(
        'How text is split before merging: "gpt2", "cl100k", "o200k" or re"...".', default=Pattern("cl100k")
    )
    specials: tuple[str, ...] = option("Special tokens, numbered from `size` in this order.", default=())

    @property
    def vocab(self) -> int:
        """Number of token ids."""
        return self.size + len(self.specials)


@variant("tokenizer", "hf")
@frozen(kw_only=True, repr=False)
class HfTokenizer:
    """A `tokenizer.json` of the tokenizers library: byte-level BPE, or SentencePiece with byte fallback."""

    repo: str | None = option("Repository on the Hugging Face hub.", default=None)
    revision: str | None = option("Commit, tag or branch of `repo`; none: the newest.", default=None)
    commit: str | None = option("Commit that a lock says.", hidden=True, identity=False, default=None)
    file: FilePath | None = option("A `tokenizer.json` on disk.", default=None)
    specials: tuple[str, ...] = option(
        "Special tokens; those that the file lacks are numbered after its vocabulary in this order.", default=()
    )

    @property
    def vocab(self) -> int | None:
        """Number of token ids: None before the file is read."""
        return None
