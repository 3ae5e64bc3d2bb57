"""`lmc chat`: a dialogue with a loaded run that can be forked and taken back, a line at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

from attrs import Factory, define

from ...spec.diagnostic import Diagnostic, LmcError
from ..generation.requests import Called, Finished, Happening, Replied, Transcript
from ..generation.session import Session
from ..generation.stops import MOST_STRINGS
from ..tokenizers.base import Tokenizer
from .loaded import LoadedRun
from .visible import visible
from .words import Words

USER, ASSISTANT = "<|user|>", "<|assistant|>"
BRIEF = 60
"""Most characters of a text that is only told of."""
COMMANDS = {
    "fork": ("NAME", "fork the dialogue here and go on in the fork"),
    "switch": ("NAME", "go on in another fork"),
    "back": ("", "take the last exchange back"),
    "seed": ("N", "sample with another seed from here on"),
    "show": ("", "show the whole dialogue, special tokens as spelled"),
    "score": ("TEXT", "tell how likely a text is here"),
    "help": ("", "show this"),
    "quit": ("", "leave; so does the end of input"),
}


@define
class Branch:
    """A dialogue, and what it was before each of its exchanges."""

    session: Session
    before: list[Session] = Factory(list)


class Chat:
    """Dialogues with one run.

    Attributes:
        user, assistant: texts said before and behind what is typed; spellings of special tokens are these tokens.
        branches: the dialogues by name. name: the one that goes on.
    """

    def __init__(
        self,
        loaded: LoadedRun,
        session: Session,
        *,
        user: str | None = None,
        assistant: str | None = None,
        max_tokens: int = 256,
        write: Callable[[str], None],
        note: Callable[[str], None],
        terminal: bool = False,
    ) -> None:
        """Begin with a session of the run.

        `user` and `assistant` are the special tokens of these names where they are None and the tokenizer has them.
        `write` takes words, to be shown at once, and `note` lines that are not part of the dialogue. On a `terminal`
        calls of tools are dimmed and control characters spelled.

        Raises LmcError: LM0609 for an undeclared special token, LM0810 for too many stop strings.
        """
        if len(set(session.stop)) > MOST_STRINGS:
            message = f"{len(set(session.stop))} stop strings; at most {MOST_STRINGS} are watched"
            raise LmcError(Diagnostic("LM0810", message, None))
        self.loaded, self.max_tokens = loaded, max_tokens
        self.user = _marker(loaded.tokenizer, user, USER)
        self.assistant = _marker(loaded.tokenizer, assistant, ASSISTANT)
        self.write, self.note, self.terminal = write, note, terminal
        self.branches, self.name = {"main": Branch(session)}, "main"
        self._fresh_line = True

    @property
    def branch(self) -> Branch:
        """The dialogue that goes on."""
        return self.branches[self.name]

    def greeting(self) -> str:
        """Return what is said before the first line on a terminal."""
        marks = f"{self.user}...{self.assistant}" if self.user or self.assistant else "plain text"
        return f"{self.loaded.name}: {marks}, a context of {self.loaded.context:,} tokens; /help tells the commands"

    def run(self, lines: Iterable[str]) -> None:
        """Answer lines until they end or one of them is `/quit`; a mistake is a note, and the chat goes on."""
        for line in lines:
            text = line.rstrip("\r\n")
            if text.strip() == "/quit":
                return
            try:
                self.answer(text)
            except KeyboardInterrupt:
                self._end_line()
                self.note("stopped; the dialogue is as before")
            except LmcError as error:
                self._end_line()
                found = error.diagnostic
                self.note(
                    f"{found.severity}[{found.code}]: {found.message}" + (f"; {found.help}" if found.help else "")
                )

    def answer(self, text: str) -> None:
        """Do what a line says: a command, `//` for a text that begins with a slash, or a text."""
        if text.startswith("/") and not text.startswith("//"):
            name, _, rest = text[1:].strip().partition(" ")
            if name not in COMMANDS or name == "quit":
                self.note(f"there is no command /{name}; commands are {', '.join(f'/{known}' for known in COMMANDS)}")
            elif bool(COMMANDS[name][0]) != bool(rest.strip()):
                self.note(f"it is used as /{' '.join((name, COMMANDS[name][0])).strip()}")
            else:
                getattr(self, f"_{name}")(rest if name == "score" else rest.strip())
        elif text.strip():
            self._say(text.removeprefix("/") if text.startswith("//") else text)

    def _say(self, text: str) -> None:
        """Say a text and let the model answer; the dialogue is as before if that fails or is stopped."""
        before, trial = self.branch.session, self.branch.session.fork()
        if trial.tokens and trial.tokens[-1] in self.loaded.tokenizer.specials.values():
            trial.tokens = trial.tokens[:-1]
        _written(text)
        trial.say(self.user + text + self.assistant)
        transcript = self._heard(trial)
        self._end_line()
        if transcript is None:
            self.note("stopped; the dialogue is as before")
            return
        if transcript.stop == "length":
            self.note(f"stopped after {len(transcript.tokens) - transcript.prompt:,} tokens")
        self.branch.before.append(before)
        self.branch.session = trial

    def _heard(self, session: Session) -> Transcript | None:
        """Show what happens while the model goes on; return what became of it, None if the user stopped it."""
        words = Words(self.loaded.tokenizer.text_bytes, session.stop, len(session.tokens))
        happenings = cast(Generator[Happening, None, None], session.stream(self.max_tokens))
        try:
            with _stoppable() as stopped:
                for happening in happenings:
                    self._show_happening(words, happening)
                    if isinstance(happening, Finished):
                        return happening.transcript
                    if stopped.is_set():
                        break
        except KeyboardInterrupt:
            pass
        happenings.close()
        return None

    def _show_happening(self, words: Words, happening: Happening) -> None:
        text = words.heard(happening)
        if isinstance(happening, Replied):
            reply = self.loaded.tokenizer.text_bytes(happening.tokens).decode(errors="replace")
            self._aside(f"[{happening.record.protocol}] -> {_flat(reply)}")
            return
        if text:
            self.write(self._shown(text))
            self._fresh_line = text.endswith("\n")
        if isinstance(happening, Called):
            captures = happening.captures
            told = ", ".join(f"{name}={_flat(value)}" for name, value in (captures or {}).items())
            self._aside(f"[{happening.protocol}] {'malformed' if captures is None else told}".rstrip())

    def _aside(self, text: str) -> None:
        """Write a line that is about the dialogue."""
        self._end_line()
        self.write((f"\x1b[2m{visible(text)}\x1b[0m" if self.terminal else text) + "\n")

    def _shown(self, text: str) -> str:
        return visible(text) if self.terminal else text

    def _end_line(self) -> None:
        if not self._fresh_line:
            self.write("\n")
            self._fresh_line = True

    def _fork(self, name: str) -> None:
        if name in self.branches:
            self.note(f"there is a fork {name}; /switch {name} goes on in it")
            return
        branch, before = self.branch, self.name
        self.branches[name] = Branch(branch.session.fork(), list(branch.before))
        self.name = name
        self.note(f"{name} goes on, forked from {before}")

    def _switch(self, name: str) -> None:
        if name not in self.branches:
            self.note(f"there is no fork {name}; forks are {', '.join(self.branches)}")
            return
        self.name = name
        self.note(f"{name} goes on, with {_tokens(len(self.branch.session.tokens))}")

    def _back(self, _: str) -> None:
        branch = self.branch
        if not branch.before:
            self.note("there is no exchange to take back")
            return
        sampling = branch.session.sampling
        after, branch.session = branch.session.tokens, branch.before.pop()
        branch.session.sampling = sampling
        before = branch.session.tokens
        taken = after[len(before) if after[: len(before)] == before else len(before) - 1 :]
        told = _brief(visible(_flat(self.loaded.tokenizer.decode(taken))))
        self.note(f"took back {_tokens(len(taken))}: {told}")

    def _seed(self, text: str) -> None:
        try:
            self.branch.session.reseed(int(text))
        except ValueError:
            self.note(f"a seed is a whole number, not {text}")
            return
        sampling = self.branch.session.sampling
        greedy = "; temperature 0 samples nothing" if sampling.temperature == 0 else ""
        self.note(f"seed {sampling.seed} from here on{greedy}")

    def _show(self, _: str) -> None:
        self.write(f"{self._shown(self.branch.session.text)}\n")

    def _score(self, text: str) -> None:
        session = self.branch.session
        if not session.tokens:
            raise LmcError(Diagnostic("LM0810", "nothing has been said that a text could follow", None))
        _written(text)
        if len(session.tokens) + len(self.loaded.encode_next(text)) > self.loaded.context:
            raise LmcError(Diagnostic("LM0810", f"the context of {self.loaded.context:,} has no room for it", None))
        found = session.score(text)
        self.write(f"{sum(found):.4f} nats over {_tokens(len(found))}, {sum(found) / len(found):.4f} a token\n")

    def _help(self, _: str) -> None:
        width = max(len(f"{name} {argument}") for name, (argument, _) in COMMANDS.items())
        for name, (argument, does) in COMMANDS.items():
            self.write(f"/{f'{name} {argument}':<{width}}  {does}\n")


def _marker(tokenizer: Tokenizer, given: str | None, default: str) -> str:
    if given is None:
        return default if default in tokenizer.specials else ""
    tokenizer.pieces(given)
    return given


def _written(text: str) -> None:
    """Raise LmcError (LM0810) for a text with characters that no UTF-8 has."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LmcError(Diagnostic("LM0810", "the text is not UTF-8", None)) from error


def _tokens(count: int) -> str:
    return f"{count:,} token" + ("" if count == 1 else "s")


def _flat(text: str) -> str:
    """Return a text on one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _brief(text: str) -> str:
    return text if len(text) <= BRIEF else text[: BRIEF - 3] + "..."


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Note a first Ctrl-C, so that nothing is left half done; a second one is KeyboardInterrupt."""
    pressed = threading.Event()

    def press(number: int, frame: FrameType | None) -> Any:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
