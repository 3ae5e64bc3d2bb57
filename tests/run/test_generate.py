"""`lmc generate`: prompts in, texts and JSON lines out, and what a wrong line does to the others."""

import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.runtime.generation.requests import Called, Finished, Replied, Said, ToolRecord, Transcript
from lmc.runtime.talk.words import Words

PAGE = Path(__file__).parent.parent.parent / "docs" / "generation.md"
QUESTION = "<|user|>Age of Emil Cole in 2020?<|assistant|>"
ANSWER = "=2020-1995;25.<|eod|>"


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def generate(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["generate", *arguments, "--device", "cpu"]) == code
    done = capsys.readouterr()
    return done.out, done.err


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def asked(capsys: pytest.CaptureFixture[str], path: Path, *lines: Any, code: int = 0) -> tuple[list[Any], str]:
    """Answers to lines of a file, given as they are or as objects."""
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    out, err = generate(capsys, "ask", "--file", str(path), code=code)
    return objects(out), err


def test_what_streams_is_what_is_written_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--temperature", "3", "--seed", "5"], ["--stop", "0-1", "--stop", "25"], ["--stop", "20?"]):
        arguments = ("ask", "--prompt", QUESTION, "--prompt", "<|user|>Ä", "--max-tokens", "40", *more)
        assert generate(capsys, *arguments) == generate(capsys, *arguments, "--stream")


def test_one_prompt_is_written_with_its_continuation(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(capsys, "ask", "--prompt", QUESTION) == (f"{QUESTION}{ANSWER}\n", "")


def test_a_text_file_and_standard_input_are_prompts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ask.txt"
    path.write_text(QUESTION + "\n", encoding="utf-8")
    assert generate(capsys, "ask", "--file", str(path))[0] == f"{QUESTION}{ANSWER}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(QUESTION.encode())))
    assert generate(capsys, "ask")[0] == f"{QUESTION}{ANSWER}\n"
    out, _ = generate(capsys, "ask", "--file", str(path), "--prompt", QUESTION)
    assert out == f"--- prompt 1 ---\n{QUESTION}{ANSWER}\n--- {path} ---\n{QUESTION}{ANSWER}\n"


def test_a_json_line_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = generate(capsys, "ask", "--prompt", QUESTION, "--logprobs")
    (told,) = objects(out)
    assert err == ""
    seconds = [event.pop("seconds") for event in told["events"]]
    assert seconds == sorted(seconds)
    assert told["calls"][0].pop("detail") != ""
    logprobs = told.pop("logprobs")
    assert [value is None for value in logprobs] == [*[False] * 5, True, *[False] * 4, True, True, True, True, False]
    start = len(QUESTION.encode()) - len("<|user|><|assistant|>") + 2
    call, at = {"protocol": "sums", "captures": {"year": "2020", "born": "1995"}}, start + 11
    assert told == {
        "id": "prompt 1",
        "seed": 0,
        "prompt": QUESTION,
        "text": ANSWER,
        "tokens": [*b"=2020-1995;25.", 258],
        "stop": "end",
        "full": False,
        "calls": [{**call, "outcome": "answered", "reply": "25.", "at": at}],
        "events": [
            {"kind": "start", "at": start},
            {"kind": "first", "at": start},
            {"kind": "call", "at": at, "protocol": "sums"},
            {"kind": "reply", "at": at, "protocol": "sums"},
            {"kind": "end", "at": start + 15},
        ],
        "error": None,
    }


def test_wrong_lines_harm_no_other_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    wrong = {
        "nonsense": "it is not JSON: Expecting value at column 1",
        "[1]": "it is no JSON object",
        '{"prompt": "a", "promt": "b"}': "unknown field `promt`; did you mean `prompt`?",
        '{"id": "x"}': "it has no `prompt`",
        '{"prompt": ""}': "the prompt is empty; begin with a special token or a word",
        '{"prompt": "<|nobody|>"}': "`<|nobody|>` is no special token of the tokenizer",
        '{"prompt": [1, 400]}': "token 400 is not in the model's vocabulary of 259",
        '{"prompt": [1, true]}': "`prompt` must be a text, or a list of token ids",
        json.dumps({"prompt": "x" * 64}): "the prompt has 64 tokens; the context of 64 has no room for another",
        '{"prompt": "a", "max_tokens": "3"}': "`max_tokens` must be a whole number",
        '{"prompt": "a", "max_tokens": 0}': "a continuation has at least one token",
        '{"prompt": "a", "temperature": NaN}': "temperature, penalties and bias are finite numbers",
        '{"prompt": "a", "top_p": 0}': "top_p is above 0 and at most 1, not 0",
        '{"prompt": "a", "seed": true}': "`seed` must be a whole number",
        '{"prompt": "a", "stop": "b"}': "`stop` must be a list of texts that are not empty",
        '{"prompt": "a", "stop": [""]}': "`stop` must be a list of texts that are not empty",
        json.dumps({"prompt": "a", "stop": [str(n) for n in range(64)]}): "64 stop strings; at most 63 are watched",
        r'{"prompt": "\ud800"}': "`prompt` holds half of a surrogate pair",
        '{"prompt": "a", "continuation": "b", "seed": 1}': "`seed` says nothing about a continuation that is scored",
        '{"prompt": "", "continuation": "b"}': "the prompt is empty; begin with a special token or a word",
        json.dumps({"prompt": "a", "continuation": "b" * 64}): "prompt and continuation have 65 tokens",
        "[" * 100_000: "it is not JSON that can be read",
        '{"prompt": "a", "seed": 1' + "0" * 5000 + "}": "it is not JSON that can be read",
    }
    good = {"id": 7, "prompt": QUESTION}
    answers, err = asked(capsys, path, *(line for x in wrong for line in (x, good)), code=1)
    assert [answer.get("text", ANSWER) for answer in answers[1::2]] == [ANSWER] * len(wrong)
    told = re.findall(r"^error\[LM\d+\]: (.*)$", err, re.MULTILINE)
    for number, message in enumerate(wrong.values()):
        answer, place = answers[2 * number], f"{path}:{2 * number + 1}"
        assert answer == {"id": "x" if number == 3 else place, "error": told[number]}
        assert told[number].startswith(f"{place}: {message}"), told[number]


def test_a_line_overrides_the_options_and_a_continuation_is_scored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    scored = {"id": "s", "prompt": QUESTION, "continuation": "=2020"}
    lines = [
        {"prompt": QUESTION, "max_tokens": 3},
        scored,
        {"prompt": QUESTION, "stop": ["1995", "nine"], "top_k": None},
    ]
    (short, likely, stopped), err = asked(capsys, tmp_path / "a.jsonl", *lines)
    assert err == ""
    assert (short["text"], short["stop"]) == ("=20", "length")
    assert (stopped["text"], stopped["stop"]) == ("=2020-", "string")
    assert {name: likely[name] for name in ("id", "prompt", "continuation", "tokens", "error")} == {
        **scored,
        "tokens": list(b"=2020"),
        "error": None,
    }
    assert sum(likely["logprobs"]) == pytest.approx(likely["logprob"])
    (long,) = objects(generate(capsys, "ask", "--prompt", QUESTION, "--max-tokens", "5", "--logprobs")[0])
    assert likely["logprobs"] == pytest.approx(long["logprobs"], abs=1e-4)


def test_more_stop_strings_than_are_watched_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [{"prompt": QUESTION, "stop": [f"{n}{m}" for m in range(20)]} for n in (300, 400, 500, 600, 19)]
    answers, _ = asked(capsys, tmp_path / "a.jsonl", *lines)
    assert [answer["text"] for answer in answers] == [*[ANSWER] * 4, "=2020-"]


def test_samples_count_seeds_up(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("ask", "--prompt", "<|user|>", "--temperature", "3", "--max-tokens", "12", "--jsonl")
    together = objects(generate(capsys, *arguments, "--seed", "4", "--samples", "3")[0])
    alone = [objects(generate(capsys, *arguments, "--seed", str(seed))[0])[0] for seed in (4, 5, 6)]
    assert [(x["seed"], x["tokens"]) for x in together] == [(x["seed"], x["tokens"]) for x in alone]
    assert len({tuple(x["tokens"]) for x in together}) == 3
    out, _ = generate(capsys, *arguments[:-1], "--samples", "2")
    assert re.findall("^--- (.*) ---$", out, re.MULTILINE) == ["prompt 1, seed 0", "prompt 1, seed 1"]


def test_the_context_is_what_was_trained_on_unless_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("plain", "--prompt", "Ada", "--max-tokens", "30", "--temperature", "1")
    out, err = generate(capsys, *arguments, "--jsonl")
    assert len(objects(out)[0]["tokens"]) == 13
    assert (objects(out)[0]["stop"], objects(out)[0]["full"]) == ("length", True)
    out, err = generate(capsys, *arguments)
    assert err.startswith("hint[LM0810]: the text ends where the context of 16 tokens does")
    assert "--context N goes beyond it" in err
    assert "a larger --context" in generate(capsys, *arguments, "--context", "20")[1]
    assert len(objects(generate(capsys, *arguments, "--jsonl", "--context", "100")[0])[0]["tokens"]) == 30


def test_what_greedy_words_ignore_is_told_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("ask", "--prompt", QUESTION, "--prompt", QUESTION, "--max-tokens", "2")
    err = generate(capsys, *arguments, "--samples", "2", "--top-k", "3", "--jsonl")[1]
    assert err.splitlines()[0].startswith("hint[LM0810]: temperature 0 takes the likeliest token; --samples 2, --top-k")
    assert err.count("hint[") == 1
    assert generate(capsys, *arguments, "--temperature", "1", "--samples", "2", "--min-p", "0.1")[1] == ""
    warm = {"prompt": QUESTION, "temperature": 1, "top_p": 0.9, "max_tokens": 2}
    assert asked(capsys, tmp_path / "a.jsonl", warm)[1] == ""
    assert "--top-p changes nothing" in asked(capsys, tmp_path / "a.jsonl", {**warm, "temperature": 0})[1]


def test_control_characters_are_spelled_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("ask", "--prompt", "a\x1b[2J\x7f\t", "--max-tokens", "1")
    assert generate(capsys, *arguments)[0].startswith("a\x1b[2J\x7f\t")
    piped = objects(generate(capsys, *arguments, "--jsonl")[0])[0]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert generate(capsys, *arguments)[0].startswith("a\\x1b[2J\\x7f\t")
    assert objects(generate(capsys, *arguments, "--jsonl")[0])[0]["prompt"] == piped["prompt"]


def test_a_run_that_is_not_there_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    err = generate(capsys, "aks", "--prompt", "a", code=1)[1]
    assert "no finished run is called `aks` in `runs`" in err
    assert "did you mean `ask`? runs are ask, plain" in err
    assert (
        "there is no run store `nowhere`" in generate(capsys, "ask", "--prompt", "a", "--store", "nowhere", code=1)[1]
    )


def test_mistakes_of_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be read" in generate(capsys, "ask", "--file", str(tmp_path / "no.txt"), code=1)[1]
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    assert "bad.txt: it is not UTF-8" in generate(capsys, "ask", "--file", str(tmp_path / "bad.txt"), code=1)[1]
    assert "it is not UTF-8" in generate(capsys, "ask", "--prompt", "\udcff", code=1)[1]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert "nothing to continue" in generate(capsys, "ask", code=2)[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--temperature", "inf"],
        ["--temperature", "nan"],
        ["--top-p", "0"],
        ["--min-p", "2"],
        ["--repetition", "0"],
        ["--presence", "nan"],
        ["--stop", ""],
        ["--context", "0"],
        ["--samples", "0"],
        ["--lanes", "0"],
        ["--seed", "x"],
    ],
)
def test_options_out_of_range_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "ask", "--prompt", "a", *arguments])
    assert caught.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


def spell(tokens: Any) -> bytes:
    """A vocabulary of pieces of a text; characters of two bytes are split."""
    return b"".join([b"a", b"ab", b"\xc3", b"\xa4", b"c", b"d", b"", b"b"][token] for token in tokens)


def transcript(*tokens: int) -> Transcript:
    return Transcript(tokens, 0, (), (), "string")


def test_words_wait_for_whole_characters_and_for_stop_strings() -> None:
    words = Words(spell, ["bcd"])
    heard = [words.heard(Said(0, (token,))) for token in (0, 2, 3, 1, 4, 4, 1, 4, 5)]
    assert heard == ["a", "", "ä", "a", "", "bcc", "a", "", ""]
    assert words.heard(Finished(0, transcript(0, 2, 3, 1, 4, 4, 0))) == ""


def test_words_go_on_behind_a_reply() -> None:
    words = Words(spell)
    assert words.heard(Said(0, (0, 4))) == "ac"
    assert words.heard(Called(0, "p", {})) == ""
    assert words.heard(Replied(0, ToolRecord("p", {}, "answered", "d", 2), (5,))) == "d"
    assert words.start == 3
    assert words.heard(Finished(0, transcript(0, 4, 5, 4, 2))) == "c\ufffd"


BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_page_shows_what_happens(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert {kind for kind, _ in blocks} == {"sh", "text", "jsonl", "chat", "python"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(trained / "runs")
    (jsonl,) = (text for kind, text in blocks if kind == "jsonl")
    (tmp_path / "prompts.jsonl").write_text(jsonl, encoding="utf-8")
    shown = ""
    for kind, text in blocks:
        if kind == "sh":
            assert main(shlex.split(text)[1:]) == 0
            shown = capsys.readouterr().out
        elif kind == "chat":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
            assert main(["chat", "ask"]) == 0
            shown = capsys.readouterr().out
        elif kind == "python":
            exec(compile(text, str(PAGE), "exec"), {})
            assert capsys.readouterr().out == "=2020-1995;25.<|eod|>"
        elif kind == "text":
            assert shown.startswith(text)


def test_the_page_names_every_field_and_command() -> None:
    from lmc.runtime.talk.chat import COMMANDS
    from lmc.runtime.talk.prompts import KINDS

    page = PAGE.read_text("utf-8")
    assert [name for name in KINDS if f"`{name}`" not in page] == []
    assert [name for name in COMMANDS if f"/{name}" not in page] == []
