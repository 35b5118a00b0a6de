"""Work on several things at once gives what work on one after the other gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.parallel import ahead, in_order


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


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_what_is_worked_out_ahead_comes_in_order_and_before_a_failure(threads: int) -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for thing in range(20):
            taken.append(thing)
            yield thing
        raise DataError("damaged")

    def square(thing: int) -> int:
        time.sleep(0.001 * (thing % 3))
        return thing * thing

    given: list[tuple[int, int]] = []
    with ThreadPoolExecutor(threads) if threads else nullcontext() as pool:
        made = ahead(things(), square, pool, 4)
        given.append(next(made))
        assert len(taken) == (5 if threads else 1)
        with pytest.raises(DataError, match="damaged"):
            given.extend(made)
    assert given == [(thing, thing * thing) for thing in range(20)]
