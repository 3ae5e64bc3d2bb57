"""The executor: calls run at once, each within its time and its bytes, whatever a tool does."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any

import pytest
from support.databases import CALL

from lmc.runtime.tools.base import Answer, cut
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.workers import MOST_STUCK, GivenUp, Workers
from lmc.spec.diagnostic import Diagnostic, LmcError
from lmc.spec.protocol import CalculatorProtocol, Reply
from lmc.spec.units import Duration, Size


class Fake:
    """A tool that does what it is told."""

    def __init__(self, does: Callable[[Mapping[str, bytes]], Answer]) -> None:
        self.does, self.closed = does, 0

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        return self.does(captures)

    def close(self) -> None:
        self.closed += 1


def protocol(timeout: float = 5.0, **fields: Any) -> CalculatorProtocol:
    return CalculatorProtocol(call=CALL, expression=":x", timeout=Duration(timeout), **fields)


def echo(captures: Mapping[str, bytes]) -> Answer:
    time.sleep(float(captures.get("wait", b"0")))
    return Answer("answered", captures["x"].decode())


def hang(captures: Mapping[str, bytes]) -> Answer:
    while True:
        time.sleep(0.01)


def stuck(captures: Mapping[str, bytes]) -> Answer:
    threading.Event().wait()
    raise AssertionError


def spin(captures: Mapping[str, bytes]) -> Answer:
    while True:
        pass


def test_calls_run_at_once() -> None:
    with ToolExecutor([protocol()], [Fake(echo)]) as executor:
        began = time.monotonic()
        futures = [executor.submit(0, {"x": str(n).encode(), "wait": b"0.2"}, 0) for n in range(16)]
        assert [future.result().text for future in futures] == [str(n) for n in range(16)]
        assert time.monotonic() - began < 2.5


def test_answers_do_not_depend_on_the_order_in_which_calls_end() -> None:
    with ToolExecutor([protocol(), protocol()], [Fake(echo), Fake(echo)]) as executor:
        waits = [0.15, 0.0, 0.1, 0.05, 0.0, 0.2]
        futures = {
            executor.submit(n % 2, {"x": str(n).encode(), "wait": str(w).encode()}, 0): n for n, w in enumerate(waits)
        }
        assert {n: f.result().text for f, n in futures.items()} == {n: str(n) for n in range(len(waits))}


@pytest.mark.parametrize("does", [hang, stuck, spin])
def test_a_tool_that_hangs_is_given_up_and_harms_no_other(does: Callable[[Mapping[str, bytes]], Answer]) -> None:
    with ToolExecutor([protocol(0.2), protocol()], [Fake(does), Fake(echo)]) as executor:
        began = time.monotonic()
        late = [executor.submit(0, {}, 0) for _ in range(20)]
        fine = [executor.submit(1, {"x": str(n).encode(), "wait": b"0.05"}, 0) for n in range(20)]
        assert [future.result(60).text for future in fine] == [str(n) for n in range(20)]
        answers = [future.result(60) for future in late]
        assert time.monotonic() - began < 60
    assert {answer.outcome for answer in answers} == {"error"}
    assert {answer.detail for answer in answers} == {"no answer within 0.2 s"}


@pytest.mark.parametrize("loop", [hang, spin])
def test_a_loop_of_python_ends_when_it_is_given_up(loop: Callable[[Mapping[str, bytes]], Answer]) -> None:
    left = threading.Event()

    def leave(captures: Mapping[str, bytes]) -> Answer:
        try:
            return loop(captures)
        except GivenUp:
            left.set()
            raise

    with ToolExecutor([protocol(0.1)], [Fake(leave)]) as executor:
        assert executor.submit(0, {}, 0).result(60).outcome == "error"
        assert left.wait(60)


def test_time_in_the_queue_is_not_time_of_a_call() -> None:
    class Narrow(Fake):
        concurrency = 1

    with ToolExecutor([protocol(0.5)], [Narrow(echo)]) as executor:
        futures = [executor.submit(0, {"x": b"a", "wait": b"0.1"}, 0) for _ in range(10)]
        assert [future.result().text for future in futures] == ["a"] * 10


def test_a_tool_may_keep_its_time_itself() -> None:
    class Slow(Fake):
        slack = 5.0

    with ToolExecutor([protocol(0.05)], [Slow(echo)]) as executor:
        assert executor.submit(0, {"x": b"a", "wait": b"0.2"}, 0).result().text == "a"


def failing(error: BaseException) -> Callable[[Mapping[str, bytes]], Answer]:
    def fail(captures: Mapping[str, bytes]) -> Answer:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [ValueError("no\nway"), MemoryError(), RecursionError("deep"), AssertionError(), UnicodeError("x")]
)
def test_a_tool_that_raises_is_an_error(error: Exception) -> None:
    with ToolExecutor([protocol()], [Fake(failing(error))]) as executor:
        answer = executor.submit(0, {}, 0).result()
    assert (answer.outcome, answer.text) == ("error", None)
    assert answer.detail.startswith(type(error).__name__)
    assert "\n" not in answer.detail


def test_a_database_that_is_gone_ends_the_generation() -> None:
    gone = LmcError(Diagnostic("LM0902", "gone", None))
    with ToolExecutor([protocol()], [Fake(failing(gone))]) as executor, pytest.raises(LmcError, match="gone"):
        executor.submit(0, {}, 0).result()


def test_a_hundred_megabytes_are_cut() -> None:
    huge = "ż" * 50_000_000

    def says(captures: Mapping[str, bytes]) -> Answer:
        return Answer("answered", huge, "asked")

    with ToolExecutor([protocol(max_bytes=Size(1001))], [Fake(says)]) as executor:
        began = time.monotonic()
        answer = executor.submit(0, {}, 0).result()
        assert time.monotonic() - began < 1
    assert answer.outcome == "answered"
    assert answer.text == "ż" * 500
    assert answer.detail == "asked; cut from 50,000,000 to 500 characters"


def test_texts_are_cut_between_characters() -> None:
    for limit in range(1, 14):
        text = cut("aż日🙂b", limit)
        assert "aż日🙂b".startswith(text)
        assert limit - 4 < len(text.encode()) <= limit or text == "aż日🙂b"
    assert cut("a\ud800b", 9) == "a?b"


def test_malformed_calls_and_too_many_never_reach_the_tool() -> None:
    tool = Fake(failing(AssertionError("reached")))
    reply = Reply(empty="nothing", malformed="what?", too_many="enough", error="broken")
    with ToolExecutor([protocol(max_calls=2, reply=reply)], [tool]) as executor:
        malformed = executor.submit(0, None, 0).result()
        many = executor.submit(0, {}, 2).result()
        broken = executor.submit(0, {}, 1).result()
        assert [a.outcome for a in (malformed, many, broken)] == ["malformed", "too_many", "error"]
        assert [executor.answer_text(0, a) for a in (malformed, many, broken)] == ["what?", "enough", "broken"]
        assert executor.answer_text(0, Answer("empty")) == "nothing"
        assert executor.answer_text(0, Answer("answered", "", "x")) == ""
        assert executor.submit(0, None, 9).result().outcome == "malformed"


def test_closing_ends_threads_and_tools() -> None:
    tools = [Fake(echo), Fake(echo)]
    before = set(threading.enumerate())
    executor = ToolExecutor([protocol(), protocol()], tools)
    wait([executor.submit(n, {"x": b"a"}, 0) for n in (0, 1, 0, 1)])
    assert set(threading.enumerate()) - before
    executor.close()
    executor.close()
    assert [tool.closed for tool in tools] == [1, 1]
    assert executor.submit(0, {"x": b"a"}, 0).result().outcome == "error"
    end = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_a_dropped_executor_closes_itself() -> None:
    tool = Fake(echo)
    executor = ToolExecutor([protocol()], [tool])
    executor.submit(0, {"x": b"a"}, 0).result()
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    assert tool.closed == 1


def test_too_many_stuck_threads_are_not_followed_by_more() -> None:
    workers: Workers[str] = Workers(MOST_STUCK + 8)
    free = threading.Event()

    def block() -> str:
        free.wait()
        return "ended"

    late = [workers.submit(block, 0.05, "late") for _ in range(MOST_STUCK)]
    assert {future.result(10) for future in late} == {"late"}
    before = threading.active_count()
    assert workers.submit(lambda: "fine", 5.0, "late").result(1) == "late"
    assert threading.active_count() <= before
    free.set()
    end = time.monotonic() + 5
    while workers.submit(lambda: "fine", 5.0, "late").result(1) == "late" and time.monotonic() < end:
        time.sleep(0.01)
    assert workers.submit(lambda: "fine", 5.0, "late").result(1) == "fine"
    workers.close()


PROGRAM = """
import threading
from lmc.runtime.tools.workers import Workers
workers = Workers(4)
spin = lambda: [0 for _ in iter(int, 1)]
late = [workers.submit(work, 0.1, "late").result() for work in (threading.Event().wait, spin)]
workers.submit(threading.Event().wait, 600.0, "late")
print(late)
"""


def test_a_stuck_thread_does_not_keep_the_interpreter_from_ending() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "['late', 'late']", "")
    assert time.monotonic() - began < 30


def test_many_short_calls_lose_none() -> None:
    with ToolExecutor([protocol()], [Fake(echo)]) as executor:
        began = time.monotonic()
        futures = [executor.submit(0, {"x": str(n).encode()}, 0) for n in range(5000)]
        assert [future.result().text for future in futures] == [str(n) for n in range(5000)]
        assert time.monotonic() - began < 60
