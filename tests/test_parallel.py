"""Work on several things at once gives what work on one after the other gives."""

from __future__ import annotations

import threading
import time

import pytest

from kalshi_sim.parallel import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_their_order(threads: int) -> None:
    def work(delay: int) -> int:
        time.sleep(delay / 1000)
        return delay

    things = [30, 0, 20, 1, 10]
    assert list(in_order(things, work, threads)) == things


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_after_the_results_before_it(threads: int) -> None:
    def work(thing: int) -> int:
        if thing == 2:
            raise TimeoutError("thing 2")
        return thing

    results = in_order([1, 2, 3], work, threads)
    assert next(results) == 1
    with pytest.raises(TimeoutError, match="thing 2"):
        next(results)


def test_things_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)

    def work(thing: int) -> int:
        both.wait()
        return thing

    assert list(in_order([1, 2], work, 2)) == [1, 2]


def test_what_has_not_begun_never_begins_and_the_rest_is_told_to_stop() -> None:
    begun: list[int] = []
    stopped = threading.Event()

    def work(thing: int) -> int:
        begun.append(thing)
        if thing:
            stopped.wait(30)
        return thing

    results = in_order(range(100), work, 3, stop=stopped.set)
    assert next(results) == 0
    results.close()
    assert stopped.is_set()
    assert len(begun) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("kalshi-sim")]


def test_who_waits_is_called_meanwhile() -> None:
    called = threading.Event()

    def work(thing: int) -> int:
        assert called.wait(30)
        return thing

    assert list(in_order([1, 2], work, 2, waiting=called.set)) == [1, 2]
