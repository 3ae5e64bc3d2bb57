"""`lmc chat`: what is typed, what is shown, and a dialogue that no mistake harms."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmc.compiler.console import typed
from lmc.runtime import load
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.talk.chat import Chat
from lmc.runtime.talk.loaded import LoadedRun
from lmc.spec.diagnostic import LmcError

QUESTION = "Age of Emil Cole in 2020?"
SHOWN = f"<|user|>{QUESTION}<|assistant|>=2020-1995;25.<|eod|>\n"
ANSWER = "=2020-1995;\n[sums] year=2020, born=1995\n[sums] -> 25.\n"
SECOND = f"{SHOWN.removesuffix('<|eod|>' + chr(10))}<|user|>"

Start = Callable[..., tuple[Chat, list[str], list[str]]]


@pytest.fixture(scope="module")
def ask(trained: Path) -> LoadedRun:
    return load("ask", store=trained / "runs", device="cpu", context=160)


@pytest.fixture
def start(ask: LoadedRun) -> Start:
    def started(sampling: Sampling = Sampling(), **more: object) -> tuple[Chat, list[str], list[str]]:  # noqa: B008
        words: list[str] = []
        notes: list[str] = []
        options = {"max_tokens": 40, "write": words.append, "note": notes.append, **more}
        return Chat(ask, ask.session(sampling), **options), words, notes  # type: ignore[arg-type]

    return started


def told(chat: Chat, words: list[str], *lines: str) -> str:
    """What is written in answer to lines."""
    before = len(words)
    chat.run(f"{line}\n" for line in lines)
    return "".join(words[before:])


def test_a_piped_chat_forks_goes_back_and_shows(trained: Path) -> None:
    typed = [QUESTION, "/show", "/fork again", "/back", "/show", "/seed 3", QUESTION, "/switch main", "/show", "/nope"]
    command = [sys.executable, "-m", "lmc.compiler.cli", "chat", "ask", "--device", "cpu"]
    text = "".join(f"{line}\n" for line in typed)
    done = subprocess.run(command, cwd=trained, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ANSWER + SHOWN + "\n" + ANSWER + SHOWN
    choices = "/fork, /switch, /back, /seed, /show, /score, /help, /quit"
    assert done.stderr.splitlines() == [
        "again goes on, forked from main",
        f"took back 42 tokens: {SHOWN.strip()[:57]}...",
        "seed 3 from here on; temperature 0 samples nothing",
        "main goes on, with 42 tokens",
        f"there is no command /nope; commands are {choices}",
    ]


def test_a_call_is_dimmed_on_a_terminal(start: Start) -> None:
    chat, words, _ = start(terminal=True)
    assert "\x1b[2m[sums] year=2020, born=1995\x1b[0m\n" in told(chat, words, QUESTION)


def test_control_characters_are_spelled_on_a_terminal(start: Start) -> None:
    for terminal, want in ((True, "a\\x1b[2J\\x0d\tb"), (False, "a\x1b[2J\r\tb")):
        chat, words, _ = start(terminal=terminal, user="", assistant="", max_tokens=1)
        assert want in told(chat, words, "a\x1b[2J\r\tb", "/show")


def test_ctrl_c_at_the_prompt_clears_the_line(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat, words, _ = start()
    events: list[str | type[BaseException]] = [
        *(KeyboardInterrupt, QUESTION),
        *(KeyboardInterrupt, "/show", EOFError),
    ]

    def typing(prompt: str) -> str:
        event = events.pop(0)
        if isinstance(event, str):
            return event
        raise event

    monkeypatch.setattr("builtins.input", typing)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    chat.run(typed(chat))
    assert "".join(words) == ANSWER + SHOWN
    assert capsys.readouterr().err.count("/quit or Ctrl-D leaves") == 1


def test_an_ended_answer_is_gone_on_with_as_one_dialogue(start: Start) -> None:
    chat, words, notes = start()
    told(chat, words, QUESTION, "And now?")
    assert told(chat, words, "/show").startswith(f"{SECOND}And now?<|assistant|>")
    told(chat, words, "/back")
    assert ": <|user|>And now?" in notes[-1]
    assert told(chat, words, "/show") == SHOWN


def test_seeds_make_words_and_forks_part(start: Start) -> None:
    chat, words, _ = start(Sampling(temperature=3.0, seed=1), max_tokens=12)
    first = told(chat, words, "/fork a", "Hm?", "/show")
    assert told(chat, words, "/switch main", "Hm?", "/show") == first
    other = told(chat, words, "/back", "/seed 2", "Hm?", "/show")
    assert other != first
    assert told(chat, words, "/back", "Hm?", "/show") == other
    assert told(chat, words, "/switch a", "/show") in first


def test_a_score_changes_nothing(start: Start) -> None:
    chat, words, notes = start()
    told(chat, words, QUESTION, "/back", "/score =2020")
    assert notes[1:] == ["error[LM0810]: nothing has been said that a text could follow"]
    scored = told(chat, words, QUESTION, "/score <|user|>Age")
    assert scored.splitlines()[-1].endswith(" a token")
    assert "nats over 4 tokens" in scored
    assert "nats over 1 token," in told(chat, words, "/score A")
    assert told(chat, words, "/show") == SHOWN


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("/fork", "it is used as /fork NAME"),
        ("/fork main", "there is a fork main; /switch main goes on in it"),
        ("/switch x", "there is no fork x; forks are main"),
        ("/back", "there is no exchange to take back"),
        ("/back 2", "it is used as /back"),
        ("/seed", "it is used as /seed N"),
        ("/seed x", "a seed is a whole number, not x"),
        ("/", "there is no command /; commands are "),
        ("say <|x|>", "error[LM0609]: `<|x|>` is no special token of the tokenizer; declared are "),
        ("\udcff", "error[LM0810]: the text is not UTF-8"),
        ("x" * 200, "error[LM0810]: the prompt has 202 tokens; the context of 160 has no room for another"),
    ],
)
def test_a_mistake_is_one_line_and_the_chat_goes_on(start: Start, line: str, note: str) -> None:
    chat, words, notes = start()
    assert told(chat, words, line) == ""
    assert len(notes) == 1
    assert notes[0].startswith(note)
    assert told(chat, words, QUESTION, "/show") == ANSWER + SHOWN


def test_a_full_context_is_gone_back_from(start: Start) -> None:
    chat, words, notes = start(Sampling(temperature=3.0), max_tokens=500)
    told(chat, words, "x" * 157, "more?")
    assert notes[-1].startswith("error[LM0810]: the prompt has")
    told(chat, words, "/back", QUESTION)
    assert chat.branch.session.text.startswith(f"<|user|>{QUESTION}")


def test_ctrl_c_stops_the_words_and_leaves_the_dialogue(start: Start) -> None:
    chat, words, notes = start()
    told(chat, words, QUESTION)
    handler = signal.getsignal(signal.SIGINT)

    def press(text: str) -> None:
        if not said:
            os.kill(os.getpid(), signal.SIGINT)
        said.append(text)

    said: list[str] = []
    chat.write = press
    told(chat, words, QUESTION)
    chat.write = words.append
    assert 0 < len("".join(said)) < len(ANSWER)
    assert notes == ["stopped; the dialogue is as before"]
    assert signal.getsignal(signal.SIGINT) is handler
    assert told(chat, words, "/show") == SHOWN


def test_markers_are_those_that_are_declared_or_said(start: Start, trained: Path) -> None:
    assert [start()[0].user, start()[0].assistant] == ["<|user|>", "<|assistant|>"]
    chat, words, _ = start(user="", assistant=" A:", max_tokens=1)
    told(chat, words, "//x")
    assert told(chat, words, "/show").startswith("/x A:")
    with pytest.raises(LmcError, match="no special token"):
        start(user="<|human|>")
    plain = load("plain", store=trained / "runs", device="cpu", context=40)
    chat = Chat(plain, plain.session(), user="", assistant="", max_tokens=3, write=words.append, note=str)
    assert "plain text" in chat.greeting()
    assert told(chat, words, "Ada", "/show").splitlines()[-1].startswith("Ada")


def test_too_many_stop_strings_are_refused_before_anything_is_said(ask: LoadedRun) -> None:
    with pytest.raises(LmcError, match="at most 63"):
        Chat(ask, ask.session(stop=[str(n) for n in range(64)]), write=print, note=print)


def test_help_tells_every_command_and_quit_leaves(start: Start) -> None:
    chat, words, _ = start()
    assert told(chat, words, "/help").count("\n") == 8
    assert told(chat, words, "", "  ", "/quit", QUESTION) == ""
