"""Cross-checks of tokenizers, and of data that are read with them."""

from __future__ import annotations

from collections.abc import Iterator

from .data import Mixture, Text
from .sources import SHA256, HfDataset, Url, several
from .tokenizer import SPLITS, BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from .units import Pattern
from .violation import Lookup, Violation


def tokenizer_violations(spec: ByteTokenizer | TiktokenTokenizer | BpeTokenizer | HfTokenizer) -> Iterator[Violation]:
    """Yield the rules that a tokenizer breaks."""
    twice = next((s for i, s in enumerate(spec.specials) if s in spec.specials[:i]), None)
    if twice is not None or "" in spec.specials:
        message = "a special token needs a spelling" if twice is None else f"`{twice}` is declared twice"
        yield Violation("LM0303", message, ("specials",), "drop it")
    if isinstance(spec, TiktokenTokenizer | HfTokenizer):
        yield from _one_source(spec)
    pattern: Pattern | None = getattr(spec, "pattern", None)
    if pattern is not None and not pattern.regex and pattern.text not in SPLITS:
        listed = ", ".join(f'"{name}"' for name in SPLITS)
        yield Violation("LM0304", f'`pattern` is one of {listed}, or re"..."', ("pattern",), 'write re"..."')


def _one_source(spec: TiktokenTokenizer | HfTokenizer) -> Iterator[Violation]:
    published = "encoding" if isinstance(spec, TiktokenTokenizer) else "repo"
    paths = ("file", published)
    if (spec.file is None) == (getattr(spec, published) is None):
        what = f"both `file` and `{published}` are set" if spec.file else f"neither `file` nor `{published}` is set"
        yield Violation("LM0309", what, paths, f"set exactly one of file and {published}")
    elif isinstance(spec, TiktokenTokenizer) and spec.encoding is not None and spec.pattern is not None:
        yield Violation("LM0309", "`pattern` is for a `file`; an encoding has its own", ("pattern",), "drop `pattern`")
    elif isinstance(spec, HfTokenizer) and spec.file is not None and spec.revision is not None:
        yield Violation("LM0309", "`revision` is of a `repo`; a file has none", ("revision",), "drop `revision`")


def text_violations(spec: Text, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a text breaks."""
    total = spec.split.train + spec.split.valid
    if total > 1 + 1e-9:
        paths = ("split.train", "split.valid")
        yield Violation("LM0303", f"the shares of `split` sum to {total:g}", paths, "at most 1")
    specials = lookup(spec.tokenizer).specials
    if spec.document_end is None and several(spec.source):
        help = 'set document_end = "<|eod|>" or another special token, or "" for nothing between documents'
        yield Violation("LM0209", "a source of several documents needs `document_end`", ("source",), help)
    elif spec.document_end and spec.document_end not in specials:
        message = f"`{spec.document_end}` is no special token of the tokenizer"
        help = f"declared are {', '.join(specials) or 'none'}"
        yield Violation("LM0609", message, ("document_end", "tokenizer:specials"), help)
    source = spec.source
    if isinstance(source, Url) and not SHA256.fullmatch(source.sha256):
        message = f"`{source.sha256}` is no SHA-256"
        yield Violation("LM0303", message, ("source.sha256",), "write the 64 hex digits that `sha256sum` prints")
    elif isinstance(source, HfDataset) and (source.folder is None) == (source.repo is None):
        what = "both `folder` and `repo` are set" if source.repo else "neither `folder` nor `repo` is set"
        yield Violation("LM0309", what, ("source.folder", "source.repo"), "set exactly one of folder and repo")
    elif isinstance(source, HfDataset) and source.folder is not None and source.revision is not None:
        message = "`revision` is of a `repo`; a folder has none"
        yield Violation("LM0309", message, ("source.revision",), "drop `revision`")


def mixture_violations(spec: Mixture, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a mixture breaks."""
    parts = sorted(spec.parts.items())
    if not parts:
        yield Violation("LM0209", "a mixture without parts", ("parts",), "write part NAME { data = ..., weight = 1 }")
        return
    for name, part in parts:
        data = lookup(part.data)
        if data.tokenizer != spec.tokenizer:
            message = f"the mixture and its part `{name}` have different tokenizers"
            yield Violation("LM0406", message, (f"{name}.data", "tokenizer"), "use one")
        elif data.seq_len > spec.seq_len:
            message = f"examples of part `{name}` have up to {data.seq_len} tokens, those of the mixture {spec.seq_len}"
            yield Violation("LM0303", message, ("seq_len", f"{name}.data"), f"set seq_len = {data.seq_len}")
    moving = [name for name, part in parts if part.weight_end is not None]
    if (spec.over is None) != (not moving):
        what = "`over` is set and no part has `weight_end`" if spec.over else "`weight_end` needs `over`"
        path = "over" if spec.over else f"{moving[0]}.weight_end"
        yield Violation("LM0309", what, (path,), "set both: over = steps * batch in the training, or a number")
    for when, total in (
        ("start", sum(p.weight for _, p in parts)),
        ("end", sum(p.weight if p.weight_end is None else p.weight_end for _, p in parts)),
    ):
        if total <= 0:
            yield Violation("LM0303", f"the weights at the {when} sum to 0", (f"{parts[0][0]}.weight",), "raise one")
            return
