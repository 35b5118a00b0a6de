"""The likelihood of what was seen of a queue, against every way in which it can have come about."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kalshi_sim.calibration.latency import latency_of, needed_for
from kalshi_sim.calibration.own_log import OwnLog, OwnOrder
from kalshi_sim.calibration.queue_power import GRID, log_likelihood
from kalshi_sim.calibration.spells import Change, Seen, Sight, Spell, spells_of
from tests.support.streams import T0, delta, session_of, snapshot


def enumerated(spell: Spell, power: float) -> float:
    """The chance of all that was seen, by every choice of front or back for each cancellation."""
    cancels = sum(isinstance(s, Change) and s.cancelled > 0 for s in spell.steps)
    total = 0.0
    for choices in itertools.product((True, False), repeat=cancels):
        front, back, chance, left = spell.ahead / 100, spell.behind / 100, 1.0, list(choices)
        for step in spell.steps:
            if isinstance(step, Sight):
                seen = step.ahead / 100
                held = {
                    Seen.EXACTLY: front == seen,
                    Seen.AT_LEAST: front >= seen,
                    Seen.AT_MOST: front <= seen,
                }[step.how]
                chance *= held
                continue
            front = max(0.0, front - step.traded / 100)
            if step.cancelled:
                size, in_front = step.cancelled / 100, left.pop(0)
                share = front**power / (front**power + back**power)
                if front < size or back < size:
                    share = float(back < size)
                chance *= share if in_front else 1 - share
                front, back = (front - size, back) if in_front else (front, back - size)
            back += step.added / 100
        total += chance
    return total


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_sum_over_all_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps: list[Change | Sight] = []
    for _ in range(3):
        steps.append(Change(0, 100 * int(rng.integers(1, 4)), 0))
        steps.append(Change(0, 0, 100 * int(rng.integers(1, 6))))
        steps.append(Change(0, 100 * int(rng.integers(1, 4)), 0))
    steps.insert(5, Sight(Seen.AT_LEAST, 800))
    steps.insert(6, Change(200, 0, 0))
    how = (Seen.EXACTLY, Seen.AT_MOST, Seen.AT_LEAST)[seed % 3]
    steps.append(Sight(how, 100 * int(rng.integers(6, 11))))
    spell = Spell(0, 1600, 1000, steps)
    found = log_likelihood(spell)
    for power in (0.0, 1.0, 2.5):
        chance = enumerated(spell, power)
        at = int(np.searchsorted(GRID, power))
        assert np.exp(found[at]) == pytest.approx(max(chance, 1e-9), rel=1e-6, abs=2e-9)


def test_what_is_seen_of_an_order() -> None:
    """Thirty in front; ten of them leave, and a trade of 25 fills five of ten."""
    session = session_of(
        snapshot(1_000, yes={40: 30}, no={50: 30}),
        delta(2_000, 0, 40, 10),  # one's own
        delta(3_000, 0, 40, 8),
        delta(4_000, 0, 40, -10),
        delta(5_000, 0, 40, -5, traded=5),
        delta(6_000, 0, 40, -20, traded=20),
        delta(7_000, 0, 40, -3),
    )
    order = OwnOrder("a", session.markets[0].ticker, 0, 4000, 1000, T0 + 2_001)
    order.fills = [(T0 + 6_001, 500)]
    log = OwnLog(orders=[order])
    (spell,) = spells_of(session, log)
    assert (spell.ahead, spell.behind) == (3000, 0)
    assert spell.steps == [
        Change(0, 0, 800),
        Change(0, 1000, 0),
        Sight(Seen.AT_LEAST, 500),
        Change(500, 0, 0),
        Sight(Seen.EXACTLY, 1500),
    ]
    order.places = [(T0 + 4_500, 2200)]
    (spell,) = spells_of(session, log)  # after the place nothing is cancelled before the fill
    assert spell.steps == [Change(0, 0, 800), Change(0, 1000, 0), Sight(Seen.EXACTLY, 2200)]
    assert log.left_out == {}


def test_a_fill_without_its_trade_had_nothing_in_front() -> None:
    """As the local exchange fills own orders: their removal alone is in the recording."""
    session = session_of(
        snapshot(1_000, yes={40: 30}, no={50: 30}),
        delta(2_000, 0, 40, 10),  # one's own
        delta(4_000, 0, 40, -10),  # another's
        delta(6_000, 0, 40, -20, traded=20),
        delta(6_000, 0, 40, -4),  # one's own
    )
    order = OwnOrder("a", session.markets[0].ticker, 0, 4000, 1000, T0 + 2_000)
    order.fills = [(T0 + 6_000, 400)]
    log = OwnLog(orders=[order])
    (spell,) = spells_of(session, log)
    assert spell.steps[-3:] == [
        Sight(Seen.AT_LEAST, 2000),
        Change(2000, 0, 0),
        Sight(Seen.EXACTLY, 0),
    ]
    order.fills = [(T0 + 6_000, 2100)]
    assert spells_of(session, log) == []
    assert log.left_out == {"fills whose trade is not in the recording": 1}


def test_a_place_starts_another_spell_only_where_something_was_cancelled() -> None:
    session = session_of(snapshot(1_000, yes={40: 30}, no={50: 30}), delta(2_000, 0, 40, 10))
    order = OwnOrder("a", session.markets[0].ticker, 0, 4000, 1000, T0 + 2_000)
    order.places = [(T0 + 3_000, 3000)]
    assert spells_of(session, OwnLog(orders=[order])) == []


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 6), (0.9, 29), (0.99, 299)])
def test_so_many_orders_are_needed_for_a_quantile(quantile: float, n: int) -> None:
    assert needed_for(quantile) == n


def test_intervals_of_latencies_hold_the_quantiles() -> None:
    rng = np.random.default_rng(5)
    truth = {"latency median": np.log(2), "latency p90": np.log(10), "latency p99": np.log(100)}
    held = dict.fromkeys(truth, 0)
    for _ in range(200):
        for found in latency_of(rng.exponential(1.0, 320).tolist()):
            assert found.low is not None
            assert found.high is not None
            held[found.name] += found.low <= truth[found.name] <= found.high
    assert min(held.values()) >= 180, held
