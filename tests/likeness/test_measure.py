"""The figures of a session against a slow measurement, written for one event at a time."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict

import numpy as np
import pytest

from kalshi_sim import build_tape
from kalshi_sim.errors import NoViewsError
from kalshi_sim.likeness.figures import (
    DISTANCES,
    FIGURES,
    HORIZONS_S,
    LEVELS,
    Comparison,
    Measured,
    compare,
)
from kalshi_sim.likeness.measure import bucket_of, burstiness, measure
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT


@pytest.fixture(scope="module")
def session() -> Session:
    return generate_session(4, markets=30, minutes=35, seed=5)


Book = dict[tuple[int, int], int]
Change = tuple[int, int, int, int, int]


def replayed(session: Session, ticker: str) -> tuple[list[int], list[Book], list[Change]]:
    """Times and shown books of the rows, and (time, side, price, size, traded) of the deltas."""
    e = session.market_events(ticker)
    book: Book = {}
    rows: dict[int, Book] = {}
    changes: list[Change] = []
    for kind, ts, side, price, size, by_trades in zip(
        *(getattr(e, c).tolist() for c in ("kind", "ts_ms", "side", "price", "size", "traded")),
        strict=True,
    ):
        if kind == EventKind.SNAPSHOT:
            book = {}
        elif kind == EventKind.LEVEL:
            book[side, price] = size
        elif kind == EventKind.DELTA:
            book[side, price] = book.get((side, price), 0) + size
            changes.append((ts, side, price, size, by_trades))
        if kind != EventKind.TRADE:
            rows[ts] = {k: n // SIZE_SCALE for k, n in book.items() if n >= SIZE_SCALE}
    return list(rows), list(rows.values()), changes


def ladder(book: Book, side: int) -> list[int]:
    """Prices of a side, best first."""
    return sorted((p for s, p in book if s == side), reverse=True)


def mids(best: list[tuple[int, int]]) -> list[float]:
    """The mark of every row in cents."""
    found = [PRICE_SCALE / 2]
    for yes, no in best:
        ask = PRICE_SCALE - no if no else PRICE_SCALE
        found.append((yes + ask) / 2 if yes and no else min(max(found[-1], yes), ask))
    return [mark / STORED_PER_CENT for mark in found[1:]]


def mark_at(times: list[int], marks: list[float], when: int) -> float:
    return marks[bisect.bisect_right(times, when) - 1]


class Naive:
    """Lists of what is seen, market by market."""

    def __init__(self, session: Session) -> None:
        self.found: dict[str, list[float]] = defaultdict(list)
        self.removed: dict[int, int] = defaultdict(int)
        self.sums: dict[str, int] = defaultdict(int)
        for view in build_tape([session]).views:
            times, books, changes = replayed(session, view.market_ticker)
            n = len(view)
            self.count(times[:n], books[:n], changes)

    def count(self, times: list[int], books: list[Book], changes: list[Change]) -> None:
        sides = [(ladder(b, 0), ladder(b, 1)) for b in books]
        best = [(y[0] if y else 0, n[0] if n else 0) for y, n in sides]
        marks = mids(best)
        self.found["rows"].append(len(times))
        for i, book in enumerate(books):
            for level, side in itertools.product(LEVELS, (0, 1)):
                if len(sides[i][side]) >= level:
                    shown = book[side, sides[i][side][level - 1]]
                    self.found[f"size_{level}"].append(shown)
        for i, (now, then) in enumerate(itertools.pairwise(times)):
            self.found["gaps"].append(then - now)
            self.found["moved"].append(marks[i + 1] - marks[i])
            if all(best[i]):
                self.found["spread"].append((PRICE_SCALE - sum(best[i])) / STORED_PER_CENT)
                self.found["lasts"].append(then - now)
        for second in range(times[0], times[-1] - 60_000, 1_000):
            self.found["change"].append(
                mark_at(times, marks, second + 60_000) - mark_at(times, marks, second)
            )
        self.count_changes(times, best, marks, changes)

    def count_changes(
        self,
        times: list[int],
        best: list[tuple[int, int]],
        marks: list[float],
        changes: list[Change],
    ) -> None:
        for ts, side, price, size, traded in changes:
            row = bisect.bisect_left(times, ts) - 1
            if row < 0 or row + 1 >= len(times) or not best[row][side]:
                continue
            self.found["deltas"].append(1)
            behind = max(-((price - best[row][side]) // STORED_PER_CENT), 0)
            self.removed[max(i for i, (n, _) in enumerate(DISTANCES) if behind >= n)] -= min(
                size, 0
            )
            self.sums["gone at best"] -= min(size, 0) if behind == 0 else 0
            if traded:
                self.found["trades"].append(traded / SIZE_SCALE)
                self.sums["traded"] += traded
                self.sums["traded at best"] += traded if behind == 0 else 0
                for seconds in HORIZONS_S:
                    until = times[row + 1] + 1_000 * seconds
                    if until <= times[-1]:
                        moved = (mark_at(times, marks, until) - marks[row]) * (1 if side else -1)
                        self.found[f"toward_{seconds}s"].append(moved)

    def figures(self) -> dict[str, float]:
        f = self.found
        moves = [abs(m) for m in f["moved"] if m]
        means = {"spread_rows": "spread", **{f"toward_{s}s": f"toward_{s}s" for s in HORIZONS_S}}
        return {
            **{key: float(np.mean(f[name])) for key, name in means.items()},
            **{f"size_{k}": float(np.median(f[f"size_{k}"])) for k in LEVELS},
            **{f"removed_{i}": n / sum(self.removed.values()) for i, n in self.removed.items()},
            "rows_per_minute": len(f["gaps"]) / (sum(f["gaps"]) / 60_000),
            "gap_p50_ms": float(np.percentile(f["gaps"], 50)),
            "gap_p90_ms": float(np.percentile(f["gaps"], 90)),
            "deltas_per_row": len(f["deltas"]) / sum(f["rows"]),
            "spread_time": float(np.average(f["spread"], weights=f["lasts"])),
            "moves": len(moves) / len(f["moved"]),
            "move_size": float(np.mean(moves)),
            "change_60s": float(np.sqrt(np.mean(np.square(f["change"])))),
            "trades_per_row": len(f["trades"]) / sum(f["rows"]),
            "trade_p50": float(np.percentile(f["trades"], 50)),
            "trade_p90": float(np.percentile(f["trades"], 90)),
            "traded_at_best": self.sums["traded at best"] / self.sums["traded"],
            "traded_of_removed": self.sums["traded at best"] / self.sums["gone at best"],
        }


def test_every_figure_is_that_of_a_slow_measurement(session: Session) -> None:
    measured, expected = measure(session), Naive(session).figures()
    assert set(FIGURES) - set(expected) == {"burst_1s", "burst_60s"}
    for key, value in expected.items():
        assert measured.values[key] == pytest.approx(value, rel=1e-9), key


def test_rows_at_random_have_a_burstiness_of_one() -> None:
    rng = np.random.default_rng(1)
    times = [np.unique(rng.integers(0, 600_000, 6_000)) for _ in range(4)]
    assert burstiness(times, 1_000) == pytest.approx(1.0, abs=0.1)
    # Ten rows in the first tenth of each second and none else: no window differs from another.
    even = (1_000 * np.arange(60)[:, None] + np.arange(10)).ravel()
    assert burstiness([even], 1_000) == 0.0
    # All rows of two seconds in one of them.
    assert burstiness([np.append(np.arange(100), [2_000])], 1_000) == pytest.approx(50.0)
    assert burstiness([np.array([0, 1_500])], 1_000) is None


def test_distances_fall_into_their_buckets() -> None:
    distance = np.array([-3, 0, 1, 2, 3, 5, 6, 10, 11, 90])
    assert bucket_of(distance).tolist() == [0, 0, 1, 2, 3, 3, 4, 4, 5, 5]


def test_a_session_without_trades_has_no_figures_of_them(session: Session) -> None:
    from dataclasses import replace

    keep = session.events.kind != EventKind.TRADE
    counts = np.concatenate([[0], np.cumsum(keep)])
    bare = replace(
        session,
        events=session.events[keep],
        market_offsets=counts[session.market_offsets],
        trades_recorded=False,
    )
    values = measure(bare).values
    assert {k for k, v in values.items() if v is None} == {
        k for k in FIGURES if k.startswith(("trade", "toward"))
    }


def test_a_session_without_rows_is_refused() -> None:
    with pytest.raises(NoViewsError):
        measure(generate_session(1, markets=1, minutes=0.1, seed=1))


def measured(error: float = 0.0, **values: float) -> Measured:
    every: dict[str, float | None] = dict.fromkeys(FIGURES)
    return Measured(every | values, {"toward_1s": error})


@pytest.mark.parametrize(
    ("generated", "difference", "alike"),
    [(1.25, 0.25, True), (1.26, 0.26, False), (0.75, -0.25, True), (0.7, -0.3, False)],
)
def test_figures_are_alike_within_a_quarter(
    generated: float, difference: float, alike: bool
) -> None:
    found = compare(measured(moves=1.0), measured(moves=generated))
    by_key = {c.figure.key: c for c in found}
    assert list(by_key) == list(FIGURES)
    assert by_key["moves"].difference == pytest.approx(difference)
    assert by_key["moves"].alike is alike
    assert by_key["move_size"].difference is None


def test_what_chance_decides_is_not_compared() -> None:
    other = measured(toward_1s=9.0)
    (first,) = (c for c in compare(measured(0.26, toward_1s=1.0), other) if c.recorded)
    assert (first.settled, first.difference, first.alike) == (False, None, True)
    (second,) = (c for c in compare(measured(0.25, toward_1s=1.0), other) if c.recorded)
    assert (second.settled, second.alike) == (True, False)


def test_a_figure_that_is_missing_is_not_alike() -> None:
    figure = FIGURES["moves"]
    assert not Comparison(figure, 1.0, None, True).alike
    assert figure.shown(None) == "-"
    assert figure.shown(0.0256) == "2.6 %"
    assert FIGURES["spread_rows"].shown(1.316) == "1.32"
