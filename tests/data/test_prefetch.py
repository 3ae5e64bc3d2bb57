"""Prefetch: the same items in the same order, ahead of their use, with errors where they belong."""

import threading
import time
import traceback

import pytest

from lmc.runtime.data.prefetch import Prefetch


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "lmc-prefetch"]


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_items_come_in_order_and_the_thread_ends(depth: int) -> None:
    with Prefetch(lambda n: n * n, 3, 30, depth) as items:
        assert list(items) == [n * n for n in range(3, 30)]
        with pytest.raises(StopIteration):
            next(items)
    assert not alive()


def test_nothing_comes_of_an_empty_range() -> None:
    assert list(Prefetch(lambda n: n, 5, 5)) == []
    assert not alive()


def test_items_are_made_ahead_but_not_without_bound() -> None:
    made: list[int] = []
    with Prefetch(lambda n: made.append(n) or n, 0, 100, depth=3) as items:
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1)
        assert made == [0, 1, 2, 3]
        assert next(items) == 0


def test_a_step_does_not_wait_for_what_was_made_while_it_computed() -> None:
    def make(number: int) -> int:
        time.sleep(0.05)
        return number

    waited = 0.0
    with Prefetch(make, 0, 6) as items:
        next(items)
        for _ in range(5):
            time.sleep(0.15)
            began = time.perf_counter()
            next(items)
            waited += time.perf_counter() - began
    assert waited < 0.15


def broken_at_four(number: int) -> int:
    if number == 4:
        raise ValueError(f"item {number} is broken")
    return number


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    items = Prefetch(broken_at_four, 0, 9)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="item 4") as caught:
        next(items)
    assert "broken_at_four" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert not alive()
    with pytest.raises(StopIteration):
        next(items)


def test_closing_in_the_middle_ends_the_thread() -> None:
    for taken in range(4):
        items = Prefetch(lambda n: n, 0, 10**9, depth=2)
        for _ in range(taken):
            next(items)
        items.close()
        items.close()
        assert not alive()
        with pytest.raises(StopIteration):
            next(items)


def test_an_error_of_the_user_closes_it() -> None:
    def use() -> None:
        with Prefetch(lambda n: n, 0, 10**9) as items:
            raise RuntimeError(f"mine at {next(items)}")

    with pytest.raises(RuntimeError, match="mine at 0"):
        use()
    assert not alive()
