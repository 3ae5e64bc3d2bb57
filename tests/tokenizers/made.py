"""The text that tests of tokenizers share, and files of the Hugging Face library made from it."""

import json
from pathlib import Path

import pytest

SPECIALS = ("<|user|>", "<|assistant|>", "</s>")
TEXT = (
    "The quick brown fox doesn't jump over the lazy dog; it's 1234 times quicker.\n\n"
    "    def fox(x):\n        return x + 1\n"
    "Zoë naïvely wrote: 日本語のテキスト, Ελληνικά, русский текст... and <|user|> said \U0001f98a!\r\n"
) * 8


def byte_level(path: Path, specials: tuple[str, ...] = ("</s>", "<|pad|>")) -> None:
    """Write a byte-level BPE as GPT-2's, with special tokens of its own and an added ordinary one."""
    hf = pytest.importorskip("tokenizers", reason="needs the tokenizers library")
    made = hf.Tokenizer(hf.models.BPE())
    made.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = hf.decoders.ByteLevel()
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    trainer = hf.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=list(specials), show_progress=False
    )
    made.train_from_iterator([TEXT], trainer)
    made.add_tokens(["quick brown"])
    made.save(str(path))


def sentence_piece(path: Path, prepend: str) -> None:
    """Write a BPE with byte fallback as Llama 2's; `prepend` says where it writes a space before a text."""
    hf = pytest.importorskip("tokenizers", reason="needs the tokenizers library")
    made = hf.Tokenizer(hf.models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if prepend == "normalizer":
        parts = [hf.normalizers.Prepend("▁"), hf.normalizers.Replace(" ", "▁")]
        made.normalizer = hf.normalizers.Sequence(parts)
    else:
        made.pre_tokenizer = hf.pre_tokenizers.Metaspace(prepend_scheme=prepend, split=False)
    steps = [hf.decoders.Replace("▁", " "), hf.decoders.ByteFallback(), hf.decoders.Fuse()]
    made.decoder = hf.decoders.Sequence([*steps, hf.decoders.Strip(" ", 1, 0)])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    first = ["<unk>", "<s>", "</s>", *fallback]
    trainer = hf.trainers.BpeTrainer(vocab_size=420, special_tokens=first, show_progress=False)
    made.train_from_iterator(TEXT.splitlines(), trainer)
    data = json.loads(made.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in fallback]
    path.write_text(json.dumps(data), encoding="utf-8")
