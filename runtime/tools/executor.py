"""The tools of a generation: calls run at once, each within its time, and answers are kept short.

A tool runs in daemon threads of this process. Tools whose work is hostile or cannot be interrupted (statements that a
model wrote, DuckDB, PostgreSQL) hand it on to child processes, which are killed when they are late.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType

from attrs import evolve

from ...spec.diagnostic import LmcError
from ...spec.protocol import ToolProtocol
from .base import Answer, Tool, cut, first_line
from .workers import Workers

CONCURRENCY = 16
"""Calls of one protocol that run at once, unless its tool says otherwise."""


class ToolExecutor:
    """Owns the tools of protocols by number; closing it, or dropping it, closes them."""

    def __init__(self, protocols: Sequence[ToolProtocol], tools: Sequence[Tool]) -> None:
        self.protocols, self.tools = tuple(protocols), tuple(tools)
        self._workers: list[Workers[Answer]] = [
            Workers(getattr(tool, "concurrency", CONCURRENCY)) for tool in self.tools
        ]
        self._end = weakref.finalize(self, _close, self._workers, self.tools)

    def submit(self, number: int, captures: Mapping[str, bytes] | None, calls_before: int) -> Future[Answer]:
        """Start a call of protocol `number`; `captures` is None where there was no well-formed call.

        The future never raises for what a model wrote or a tool did, only LmcError (LM0902) if a database is gone.
        The time limit begins when the call does, not while it waits for others.
        """
        protocol, tool = self.protocols[number], self.tools[number]
        if captures is None:
            return _answered(Answer("malformed", detail="no well-formed call"))
        if calls_before >= protocol.max_calls:
            return _answered(Answer("too_many", detail=f"{protocol.max_calls} calls are answered"))
        seconds = protocol.timeout + float(getattr(tool, "slack", 0.0))
        late = Answer("error", detail=f"no answer within {protocol.timeout:g} s")
        work = partial(_call, tool, dict(captures), int(protocol.max_bytes))
        return self._workers[number].submit(work, seconds, late)

    def answer_text(self, number: int, answer: Answer) -> str:
        """Return what the model is told: the answer, or what `reply` declares for its outcome."""
        if answer.text is not None:
            return answer.text
        return str(getattr(self.protocols[number].reply, answer.outcome))

    def close(self) -> None:
        """End the threads and close the tools; calls made later are errors."""
        self._end()

    def __enter__(self) -> ToolExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _close(workers: Sequence[Workers[Answer]], tools: Sequence[Tool]) -> None:
    for crew in workers:
        crew.close()
    for tool in tools:
        tool.close()


def _answered(answer: Answer) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future


def _call(tool: Tool, captures: Mapping[str, bytes], limit: int) -> Answer:
    try:
        answer = tool.call(captures)
    except LmcError:
        raise
    except Exception as error:
        return Answer("error", detail=f"{type(error).__name__}: {first_line(error)}")
    if answer.text is None:
        return answer
    text = cut(answer.text, limit)
    if len(text) == len(answer.text):
        return evolve(answer, text=text)
    detail = f"cut from {len(answer.text):,} to {len(text):,} characters"
    return evolve(answer, text=text, detail=f"{answer.detail}; {detail}" if answer.detail else detail)
