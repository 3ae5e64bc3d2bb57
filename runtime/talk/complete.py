"""`lmc generate`: prompts are continued or scored with a loaded run, and written as text or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import asdict, evolve, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ..generation.requests import Finished, Request, Transcript
from ..generation.sampling import Sampling
from ..generation.score import score
from ..generation.stops import MOST_STRINGS
from .greedy import greedy_hint
from .loaded import LoadedRun
from .prompts import Prompt
from .words import Words

Write = Callable[[str], None]
Report = Callable[[Diagnostic], None]


@frozen
class Task:
    """A prompt to be continued once, or scored.

    Attributes:
        tokens: of the prompt. request: what the engine is asked for; None where it is not.
        continuation: tokens to score behind the prompt; None where there are none.
        error: why neither is done.
    """

    prompt: Prompt
    tokens: tuple[int, ...] = ()
    request: Request | None = None
    continuation: tuple[int, ...] | None = None
    error: Diagnostic | None = None


class InOrder:
    """Writes texts of several tasks in the order of the tasks, whichever comes first."""

    def __init__(self, heads: Sequence[str], write: Write, report: Report) -> None:
        """Take what stands before the text of each task, if it has any text."""
        self.heads, self.write, self.report, self.at, self.failed = list(heads), write, report, 0, False
        self.texts = [""] * len(heads)
        self.done: dict[int, Diagnostic | None] = {}
        self.hints: set[str] = set()

    def said(self, number: int, text: str) -> None:
        """Add to the text of a task."""
        self.texts[number] += text
        self._flush()

    def finish(self, number: int, text: str, error: Diagnostic | None = None) -> None:
        """Add the end of the text of a task."""
        self.texts[number] += text
        self.done[number] = error
        self._flush()

    def _flush(self) -> None:
        while self.at < len(self.heads):
            if self.texts[self.at]:
                self.write(self.heads[self.at] + self.texts[self.at])
                self.heads[self.at] = self.texts[self.at] = ""
            if self.at not in self.done:
                return
            self._tell(self.done[self.at])
            self.at += 1

    def _tell(self, found: Diagnostic | None) -> None:
        if found is None or found.message in self.hints:
            return
        if found.severity == "hint":
            self.hints.add(found.message)
        else:
            self.failed = True
        self.report(found)


@frozen
class Completion:
    """What is done with prompts.

    Attributes:
        samples: continuations of each prompt; their seeds count up from that of `sampling`.
        jsonl: whether JSON lines are written, instead of texts. stream: whether texts are written as they come.
        context_said: whether the context is one that the user chose.
    """

    sampling: Sampling = Sampling()
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    samples: int = 1
    logprobs: bool = False
    jsonl: bool = False
    stream: bool = False
    context_said: bool = False

    def run(self, run: LoadedRun, prompts: Sequence[Prompt], write: Write, report: Report) -> bool:
        """Continue and score prompts; return whether all could be.

        Raises LmcError (LM0902) if the database of a tool vanishes.
        """
        tasks = [task for prompt in prompts for task in self._tasks(run, prompt)]
        hint = greedy_hint([task.request.sampling for task in tasks if task.request is not None], self.samples)
        if hint is not None:
            report(hint)
        heads = [""] * len(tasks) if self.jsonl or len(tasks) == 1 else [_head(task, self.samples) for task in tasks]
        out = InOrder(heads, write, report)
        for number, task in enumerate(tasks):
            if task.error is not None:
                out.finish(number, self._failed(task, task.error), task.error)
        self._score(run, tasks, out)
        for wave in _waves(tasks):
            self._continue(run, {number: tasks[number] for number in wave}, out)
        return not out.failed

    def _tasks(self, run: LoadedRun, prompt: Prompt) -> Iterator[Task]:
        try:
            if prompt.error:
                raise ValueError(prompt.error)
            content = prompt.content
            tokens = tuple(run.tokenizer.encode_marked(content)) if isinstance(content, str) else content
            if prompt.continuation is not None:
                yield self._scored(run, prompt, tokens)
                return
            for sample in range(self.samples):
                yield Task(prompt, tokens, self._request(tokens, prompt.options, sample))
        except LmcError as error:
            yield Task(prompt, error=_placed(prompt, error.diagnostic))
        except ValueError as error:
            yield Task(prompt, error=_placed(prompt, Diagnostic("LM0810", str(error), None)))

    def _scored(self, run: LoadedRun, prompt: Prompt, tokens: tuple[int, ...]) -> Task:
        continuation = run.encode_next(prompt.continuation or "")
        # Scoring reads no token behind the last, and continuing reads at least one less than the context.
        refusal = run.engine.refusal(Request(tokens, max(1, len(continuation))))
        if refusal:
            raise ValueError(refusal)
        length = len(tokens) + len(continuation)
        if length > run.context:
            raise ValueError(f"prompt and continuation have {length:,} tokens; the context is {run.context:,}")
        return Task(prompt, tokens, continuation=continuation)

    def _request(self, tokens: tuple[int, ...], options: Any, sample: int) -> Request:
        own = {name: value for name, value in options.items() if name not in ("max_tokens", "stop")}
        sampling = evolve(self.sampling, **own)
        stop = tuple(dict.fromkeys(options.get("stop", self.stop)))
        if len(stop) > MOST_STRINGS:
            raise ValueError(f"{len(stop)} stop strings; at most {MOST_STRINGS} are watched")
        return Request(
            tokens,
            options.get("max_tokens", self.max_tokens),
            evolve(sampling, seed=sampling.seed + sample),
            stop,
            self.logprobs,
        )

    def _score(self, run: LoadedRun, tasks: Sequence[Task], out: InOrder) -> None:
        wanted = [number for number, task in enumerate(tasks) if task.continuation is not None]
        found = score(run.model, [(tasks[number].tokens, tasks[number].continuation or ()) for number in wanted])
        for number, logprobs in zip(wanted, found, strict=True):
            prompt = tasks[number].prompt
            fields = {"tokens": tasks[number].continuation, "logprobs": logprobs, "logprob": sum(logprobs)}
            said = {"prompt": prompt.content, "continuation": prompt.continuation}
            out.finish(number, _line({"id": prompt.id, **said, **fields, "error": None}))

    def _continue(self, run: LoadedRun, tasks: dict[int, Task], out: InOrder) -> None:
        numbers = list(tasks)
        requests = [request for task in tasks.values() if (request := task.request) is not None]
        words = [Words(run.tokenizer.decode_bytes, request.stop) for request in requests]
        begun = [False] * len(requests)
        live = self.stream and not self.jsonl
        for happening in run.engine.stream(requests, share=len(requests) > 1, listening=live):
            at, number = happening.number, numbers[happening.number]
            if isinstance(happening, Finished) and (self.jsonl or happening.transcript.stop == "refused"):
                out.finish(number, *self._ended(run, tasks[number], happening.transcript))
                continue
            text = "" if begun[at] else words[at].given(requests[at].prompt)
            begun[at] = True
            text += words[at].heard(happening)
            if isinstance(happening, Finished):
                out.finish(number, text + "\n", self._hint(run, requests[at], happening.transcript))
            else:
                out.said(number, text)

    def _ended(self, run: LoadedRun, task: Task, transcript: Transcript) -> tuple[str, Diagnostic | None]:
        """Return the line of a transcript, and why it was refused."""
        if transcript.stop == "refused":
            error = _placed(task.prompt, Diagnostic("LM0810", transcript.error, None))
            return self._failed(task, error), error
        return _line(_fields(run, task, transcript, self.logprobs)), None

    def _hint(self, run: LoadedRun, request: Request, transcript: Transcript) -> Diagnostic | None:
        """Return that a text ended because the context is full, if it did."""
        if not _is_full(run, request, transcript):
            return None
        message = f"the text ends where the context of {run.context:,} tokens does"
        help = "a larger --context has more room" if self.context_said else "--context N goes beyond it"
        return Diagnostic("LM0810", message, None, help=help, severity="hint")

    def _failed(self, task: Task, error: Diagnostic) -> str:
        return _line({"id": task.prompt.id, "error": error.message}) if self.jsonl else ""


def _fields(run: LoadedRun, task: Task, transcript: Transcript, logprobs: bool) -> dict[str, Any]:
    """Return what is written of a transcript."""
    assert task.request is not None
    own = transcript.tokens[transcript.prompt :]
    moments = [{**asdict(moment), "seconds": round(moment.seconds, 6)} for moment in transcript.events]
    return {
        "id": task.prompt.id,
        "seed": task.request.sampling.seed,
        "prompt": task.prompt.content,
        "text": run.tokenizer.decode(own),
        "tokens": own,
        "stop": transcript.stop,
        "full": _is_full(run, task.request, transcript),
        **({"logprobs": transcript.logprobs} if logprobs else {}),
        "calls": [asdict(call) for call in transcript.calls],
        "events": [{name: value for name, value in moment.items() if value != ""} for moment in moments],
        "error": None,
    }


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _head(task: Task, samples: int) -> str:
    seed = f", seed {task.request.sampling.seed}" if samples > 1 and task.request is not None else ""
    return f"--- {task.prompt.id}{seed} ---\n"


def _placed(prompt: Prompt, found: Diagnostic) -> Diagnostic:
    return evolve(found, message=f"{prompt.place}: {found.message}") if prompt.place else found


def _is_full(run: LoadedRun, request: Request, transcript: Transcript) -> bool:
    """Whether a text ended because the context has no more room."""
    return transcript.stop == "length" and run.context - len(request.prompt) < request.max_tokens


def _waves(tasks: Sequence[Task]) -> Iterator[list[int]]:
    """Yield the tasks that are continued together, by number: as many as have no more stop strings than are watched."""
    wave: list[int] = []
    strings: set[str] = set()
    for number, task in enumerate(tasks):
        if task.request is None:
            continue
        if wave and len(strings | set(task.request.stop)) > MOST_STRINGS:
            yield wave
            wave, strings = [], set()
        wave.append(number)
        strings |= set(task.request.stop)
    if wave:
        yield wave
