"""Work on several files at once gives what work on one after the other gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kalshi_sim.ingest.ahead import read_ahead


def count(to: int) -> Iterator[int]:
    yield from range(to)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_files(threads: int) -> None:
    files = [3, 0, 40, 1, 25]
    expected = [(f, i) for f in files for i in [*range(f), None]]
    assert list(read_ahead(files, count, threads)) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_after_the_results_before_it(threads: int) -> None:
    def work(file: int) -> Iterator[int]:
        yield file
        if file == 2:
            raise ValueError("file 2")

    ahead = read_ahead([1, 2, 3], work, threads)
    assert [next(ahead) for _ in range(3)] == [(1, 1), (1, None), (2, 2)]
    with pytest.raises(ValueError, match="file 2"):
        next(ahead)


def test_files_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)

    def work(file: int) -> Iterator[int]:
        both.wait()
        yield file

    assert list(read_ahead([1, 2], work, 2)) == [(1, 1), (1, None), (2, 2), (2, None)]


def test_what_lies_ready_is_bounded_and_ends_with_its_reader() -> None:
    made = []

    def work(file: int) -> Iterator[int]:
        for i in range(1000):
            made.append((file, i))
            yield i

    ahead = read_ahead([1, 2, 3], work, 2)
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]  # a generator
    assert len(made) < 60
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
