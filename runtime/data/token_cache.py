"""Texts are tokenised once: their ids lie in the user's cache under the digest of bytes and tokenizer.

A large text is made in parts, by several processes where the machine has the cores, and goes on from its last whole
part if it is interrupted. Of two processes that want the same ids one makes them and the other waits.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

from attrs import Factory, define, frozen

from ...spec.cache import cache_folder
from ...spec.canonical import canonical_json
from ..tokenizers.base import Tokenizer
from ..tokenizers.byte import Bytes
from ..tokenizers.hf import HfLibrary
from ..tokenizers.tiktoken_bpe import TiktokenBpe
from . import tokenise
from .cached import exclusive
from .documents import Documents
from .token_file import Tokens, read_tokens, write_tokens
from .tokenise import Piece, parts_of

FORMAT = 1
SMALL = 1 << 20
"""Bytes of a source below which it is faster to tokenise it again."""
LARGE = 1 << 26
"""Bytes of a source above which several processes share the work."""
MOST_WORKERS = 16
SAY_SECONDS, SHOW_SECONDS = 5.0, 0.5
"""Time between two sentences about work of unknown length, and between two that say the share that is done."""


class Say(Protocol):
    """Receives sentences about long work."""

    def __call__(self, text: str, share: float | None = None) -> None:
        """Take a sentence, and the share of the work that is done, from 0 to 1, if it is about that."""


def silent(text: str, share: float | None = None) -> None:
    """Say nothing."""


def tokens_of(documents: Documents, tokenizer: Tokenizer, end: int | None, say: Say = silent) -> Tokens:
    """Return the ids of documents, from the cache if they were made before.

    Args:
        documents: what is tokenised.
        tokenizer: what gives the ids.
        end: id behind every document, or None.
        say: receives sentences about long work.

    Raises LmcError (LM0702) for a damaged document.
    """
    known = _encoding_key(tokenizer)
    if not known or 0 < documents.size < SMALL:
        return tokenise.tokenise(map(Piece, documents.read()), tokenizer, end)
    key = hashlib.sha256(canonical_json([FORMAT, documents.key, known, end]).encode()).hexdigest()[:32]
    path = cache_folder() / "tokens" / f"{key}.tokens"
    found = read_tokens(path)
    if found is not None:
        return found
    if not _writable(path.parent):
        say(f"{path.parent} cannot be written, so `{documents.name}` is tokenised at every start")
        return tokenise.tokenise(map(Piece, documents.read()), tokenizer, end)
    with exclusive(path):
        found = read_tokens(path)
        if found is None:
            _make(path, documents, tokenizer, end, say)
            found = read_tokens(path)
    if found is None:
        raise OSError(f"{path} is damaged right after it was written")
    return found


def _encoding_key(tokenizer: Tokenizer) -> str:
    """Return what determines the ids of any text; "" for a tokenizer that cannot tell."""
    if isinstance(tokenizer, Bytes):
        how = "bytes"
    elif isinstance(tokenizer, TiktokenBpe):
        how = "tiktoken " + tokenizer._encoding._pat_str
    elif isinstance(tokenizer, HfLibrary):
        how = "tokenizers " + tokenizer._library.to_str()
    else:
        return ""
    return hashlib.sha256(f"{tokenizer.digest()} {how}".encode()).hexdigest()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _make(path: Path, documents: Documents, tokenizer: Tokenizer, end: int | None, say: Say) -> None:
    folder = path.with_suffix(".parts")
    folder.mkdir(exist_ok=True)
    meter = _Meter(documents, say)
    made: list[Path] = []
    for part, text_bytes, fresh in _parts(folder, documents, tokenizer, end):
        made.append(part)
        meter.add(text_bytes, fresh)
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # of killed processes: the lock is held
        left.unlink(missing_ok=True)
    # A file of no part would not know the type of its ids.
    write_tokens(path, map(_whole, made) if made else [tokenise.tokenise([], tokenizer, end)])
    meter.finish(path)
    shutil.rmtree(folder, ignore_errors=True)


def _whole(path: Path) -> Tokens:
    found = read_tokens(path)
    if found is None:
        raise OSError(f"{path} is damaged right after it was written")
    return found


def _parts(
    folder: Path, documents: Documents, tokenizer: Tokenizer, end: int | None
) -> Iterator[tuple[Path, int, bool]]:
    """Yield the file of each part in order, the bytes of its text, and whether it was made now."""
    workers = _workers() if documents.size >= LARGE else 1
    work = _Serial(tokenizer, end) if workers == 1 else _Parallel.start(tokenizer, end, workers)
    waiting: deque[tuple[Path, Future[int] | int]] = deque()
    try:
        for number, pieces in enumerate(parts_of(documents.read(), tokenizer, tokenise.PART)):
            path = folder / f"{number:06d}.tokens"
            kept = read_tokens(path)
            waiting.append((path, work.begin(path, pieces) if kept is None else kept.text_bytes))
            while len(waiting) >= 2 * workers:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())
    finally:
        work.close()


def _done(path: Path, result: Future[int] | int) -> tuple[Path, int, bool]:
    return (path, result, False) if isinstance(result, int) else (path, result.result(), True)


def _workers() -> int:
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


@frozen
class _Serial:
    tokenizer: Tokenizer
    end: int | None

    def begin(self, path: Path, pieces: list[Piece]) -> Future[int]:
        """Make a part at once."""
        done: Future[int] = Future()
        done.set_result(_write_part(path, pieces, self.tokenizer, self.end))
        return done

    def close(self) -> None:
        """Do nothing."""


@frozen
class _Parallel:
    pool: ProcessPoolExecutor

    @classmethod
    def start(cls, tokenizer: Tokenizer, end: int | None, workers: int) -> _Parallel:
        """Start processes; they are spawned, because a process with threads cannot be forked safely."""
        context = multiprocessing.get_context("spawn")
        return cls(ProcessPoolExecutor(workers, context, initializer=_take, initargs=(tokenizer, end)))

    def begin(self, path: Path, pieces: list[Piece]) -> Future[int]:
        """Have a part made."""
        return self.pool.submit(_write_given, path, pieces)

    def close(self) -> None:
        """End the processes; parts that were not begun are left."""
        self.pool.shutdown(cancel_futures=True)


_GIVEN: list[tuple[Tokenizer, int | None]] = []
"""In a process of the pool: what it tokenises with."""


def _take(tokenizer: Tokenizer, end: int | None) -> None:
    _GIVEN[:] = [(tokenizer, end)]
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """Leave when the process that shares its work out is gone: a killed one closes no pool."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_given(path: Path, pieces: list[Piece]) -> int:
    return _write_part(path, pieces, *_GIVEN[0])


def _write_part(path: Path, pieces: list[Piece], tokenizer: Tokenizer, end: int | None) -> int:
    tokens = tokenise.tokenise(pieces, tokenizer, end)
    write_tokens(path, [tokens])
    return tokens.text_bytes


@define
class _Meter:
    """Says how far long work is."""

    documents: Documents
    say: Say
    began: float = Factory(time.monotonic)
    said: float = Factory(time.monotonic)
    done: int = 0
    fresh: int = 0

    def add(self, text_bytes: int, fresh: bool) -> None:
        """Count a part."""
        self.done += text_bytes
        self.fresh += text_bytes if fresh else 0
        now, left = time.monotonic(), self.documents.size - self.done
        if now - self.said < (SHOW_SECONDS if left > 0 else SAY_SECONDS) or not self.fresh:
            return
        self.said = now
        rate = self.fresh / (now - self.began)
        speed = f"{rate / 1e6:,.1f} MB/s"
        if left <= 0:
            self.say(f"tokenised {self.done / 1e6:,.0f} MB  {speed}")
            return
        share = self.done / self.documents.size
        of = f"{self.done / 1e6:,.0f} of {self.documents.size / 1e6:,.0f} MB"
        self.say(f"tokenised {of}  {share:.0%}  {speed}  {left / rate:,.0f} s left", share)

    def finish(self, path: Path) -> None:
        """Say what was made."""
        seconds = time.monotonic() - self.began
        self.say(f"tokenised {self.done / 1e6:,.1f} MB in {seconds:.1f} s; kept in {path}")
