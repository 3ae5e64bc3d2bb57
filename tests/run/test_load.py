"""Runs loaded from Python: dialogues, forks, scores, and a runtime that needs no torch before that."""

import subprocess
import sys
from pathlib import Path

import pytest

from lmc.runtime import load
from lmc.runtime.generation.sampling import Sampling
from lmc.runtime.talk.loaded import LoadedRun
from lmc.spec.diagnostic import LmcError

QUESTION = "<|user|>Age of Emil Cole in 2020?<|assistant|>"


@pytest.fixture
def ask(trained: Path) -> LoadedRun:
    return load("ask", store=trained / "runs", device="cpu")


def test_the_runtime_can_be_imported_without_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; from lmc.runtime import load; assert callable(load)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_run_is_loaded_with_its_tools_and_its_context(ask: LoadedRun, trained: Path) -> None:
    assert ask.context == 64
    assert ask.toolkit is not None
    (transcript,) = ask.generate([QUESTION])
    assert [(call.captures, call.reply) for call in transcript.calls] == [({"year": "2020", "born": "1995"}, "25.")]
    longer = load("plain", store=str(trained / "runs"), device="cpu", context=100)
    assert (longer.context, longer.toolkit) == (100, None)
    with pytest.raises(LmcError, match="no finished run"):
        load("nobody", store=trained / "runs")


def test_a_fork_says_what_a_replay_says(ask: LoadedRun, trained: Path) -> None:
    warm = Sampling(temperature=4.0, seed=3)
    dialogue = ask.session(warm).say("<|user|>Age of")
    dialogue.generate(6)
    fork = dialogue.fork(seed=9)
    replay = ask.session(Sampling(temperature=4.0, seed=9)).append(dialogue.tokens)
    fresh = load("ask", store=trained / "runs", device="cpu").session(Sampling(temperature=4.0, seed=9))
    fresh.append(dialogue.tokens)
    said = fork.generate(12).tokens
    assert said == replay.generate(12).tokens == fresh.generate(12).tokens
    assert said != dialogue.generate(12).tokens


def test_back_takes_back_what_was_said_last(ask: LoadedRun) -> None:
    dialogue = ask.session().say(QUESTION)
    before = dialogue.tokens
    first = dialogue.generate(20)
    dialogue.back()
    assert dialogue.tokens == before
    assert dialogue.generate(20).tokens == first.tokens


def test_scores_are_the_log_probabilities_of_greedy_words(ask: LoadedRun) -> None:
    (transcript,) = ask.generate([QUESTION], max_tokens=5, logprobs=True)
    (scored,) = ask.score([(QUESTION, "=2020")])
    assert scored == pytest.approx(transcript.logprobs, abs=1e-4)
    assert ask.session().say(QUESTION).score("=2020") == pytest.approx(scored, abs=1e-4)


def test_a_string_is_one_prompt_and_one_stop_text(ask: LoadedRun) -> None:
    (one,) = ask.generate(QUESTION, stop="19")
    assert ask.text(one) == "=2020-"
    dialogue = ask.session(stop="19").say(QUESTION)
    assert ask.text(dialogue.generate()) == "=2020-"
    assert repr(dialogue).startswith(f"Session(tokens={len(one.tokens)}, end=")


def test_samples_stand_behind_each_other_and_count_seeds_up(ask: LoadedRun) -> None:
    warm = Sampling(temperature=3.0, seed=4)
    found = ask.generate(["<|user|>", "<|nobody|>", "<|user|>A"], 8, warm, samples=2)
    assert [transcript.stop == "refused" for transcript in found] == [False, False, True, True, False, False]
    next_ = Sampling(temperature=3.0, seed=5)
    alone = [*ask.generate("<|user|>", 8, warm), *ask.generate("<|user|>", 8, next_)]
    assert [transcript.tokens for transcript in found[:2]] == [transcript.tokens for transcript in alone]
    with pytest.raises(ValueError, match="at least one sample"):
        ask.generate("a", samples=0)


def test_an_undeclared_special_token_refuses_its_prompt_alone(ask: LoadedRun) -> None:
    wrong, good = ask.generate(["<|nobody|>", QUESTION])
    assert (wrong.stop, ask.text(wrong), good.stop) == ("refused", "", "end")
    assert "`<|nobody|>` is no special token" in wrong.error


def test_a_run_is_shown_in_one_line(ask: LoadedRun) -> None:
    assert repr(ask) == "LoadedRun('ask', parameters=12,432, context=64, tools=['sums'])"


@pytest.mark.parametrize("pairs", [["a"], ["ab"], "ab", [("a", "b", "c")]])
def test_what_is_no_pair_is_not_scored(ask: LoadedRun, pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        ask.score(pairs)


def test_a_prompt_that_is_too_long_is_refused_alone(ask: LoadedRun) -> None:
    long, good = ask.generate(["x" * 64, QUESTION])
    assert (long.stop, good.stop) == ("refused", "end")
    assert "the context of 64" in long.error
