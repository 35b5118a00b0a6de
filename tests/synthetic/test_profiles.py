"""Sessions of profiles: reproducible, with a true queue, unpredictable; and the usual ones kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.grid import SUB_PENNY_GRID, grid_prices
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic.profile import QUANTILES, profile_names, profile_text, read_profile
from kalshi_sim.synthetic.profile_flow import moved
from kalshi_sim.synthetic.profile_market import draw_market, flow_of, profile_times
from kalshi_sim.synthetic.queue_book import UNFILLED
from kalshi_sim.synthetic.session import generate_session, generate_with_truth
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE
from tests.support.modes import INTERPRETED
from tests.synthetic.test_synthetic import NaiveQueue, logs_of, naive_lines

pytestmark = pytest.mark.kernel

MINUTES = {"nba": 20.0, "fight": 2.0, "crypto-15m": 1.0, "quiet": 60.0}
MARKETS = 2 if INTERPRETED else 6


def digest(session: Session) -> str:
    """A hash of all that a session has."""
    found = hashlib.sha256()
    for column in ("kind", "side", "price", "size", "traded", "ts_ms", "seq", "sid", "frame"):
        found.update(getattr(session.events, column).tobytes())
    for market in session.markets:
        kept = (market.ticker, market.close_time_ms, market.settlement_value)
        found.update(repr(kept).encode())
    return found.hexdigest()[:16]


def test_sessions_without_a_profile_stay_what_they_were() -> None:
    fine = generate_session(4, markets=20, seed=5, sub_penny_share=0.3, fractional_sizes=True)
    assert digest(fine) == "0dae650ac7644454"
    assert digest(generate_session(3, markets=10, edge=1.0)) == "9b00f27e701559e0"
    assert digest(generate_session(9, markets=40)) == "06457c01a388bae7"


@pytest.fixture(scope="module", params=sorted(MINUTES))
def made(request: pytest.FixtureRequest) -> tuple[str, Session, TrueQueue]:
    name = request.param
    return name, *generate_with_truth(
        2, markets=MARKETS, minutes=MINUTES[name] / (10 if INTERPRETED else 1), profile=name
    )


def test_best_prices_are_given_up_more_often_where_prices_are_fine() -> None:
    usual = replace(read_profile("crypto-15m"), markets=2, minutes=0.1 if INTERPRETED else 0.4)

    def made(start: float, fine: float) -> Session:
        return generate_session(1, profile=replace(usual, starts=(start,), fine=fine))

    def moves(session: Session) -> int:
        marks = build_tape([session]).mark2
        return int(np.count_nonzero(np.diff(marks)))

    assert digest(made(50.0, 1.0)) == digest(made(50.0, 8.0))
    assert moves(made(96.0, 8.0)) > 1.5 * moves(made(96.0, 1.0))


def test_every_profile_is_here() -> None:
    assert profile_names() == tuple(sorted(MINUTES))


def test_the_same_seed_gives_the_same_session(made: tuple[str, Session, TrueQueue]) -> None:
    name, session, _ = made
    minutes = (session.last_message_ms - (session.started_ms or 0)) / 60_000
    fewer = generate_session(2, markets=1, minutes=minutes, profile=name)
    ticker = fewer.markets[0].ticker
    one, other = fewer.market_events(ticker), session.market_events(ticker)
    for column in ("kind", "side", "price", "size", "traded", "ts_ms"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    assert fewer.markets[0] == session.markets[0]
    again = generate_session(2, markets=1, minutes=minutes, profile=name, seed=10)
    assert not again.events.equals(fewer.events)


def test_nothing_is_dropped_and_every_trade_has_its_delta(
    made: tuple[str, Session, TrueQueue],
) -> None:
    total = made[1].quality.total
    assert total.trades == total.trades_matched > 0
    assert total.clamped_deltas == total.raised_times == total.crossed_ms == 0
    assert total.dropped_before_snapshot == total.inferred_times == 0


def test_takers_meet_orders_by_price_and_then_by_time(
    made: tuple[str, Session, TrueQueue],
) -> None:
    for log in logs_of(made[2]).values():
        naive = NaiveQueue()
        lines = naive_lines(log)[: 300 if INTERPRETED else 6_000]
        for _, kind, *rest in lines:
            if kind != UNFILLED:
                naive.apply(kind, *rest)
        assert len(lines) > 100


def test_grids_and_fractions_are_those_of_the_recording(
    made: tuple[str, Session, TrueQueue],
) -> None:
    name, session, _ = made
    profile = read_profile(name)
    fractions = session.events.size % SIZE_SCALE != 0
    assert bool(fractions.any()) == profile.fractional
    prices = session.events.price[session.events.kind != EventKind.SNAPSHOT]
    if profile.sub_penny:
        assert all(m.price_ranges == SUB_PENNY_GRID for m in session.markets)
        assert np.isin(prices, grid_prices(SUB_PENNY_GRID)).all()
    else:
        assert (prices % 100 == 0).all()


def test_prices_are_martingales_up_to_settlement() -> None:
    """Neither the first nor the last mid says on which side of it the result will be."""
    session = generate_session(3, markets=40 if INTERPRETED else 600, minutes=1.0, profile="nba")
    tape = build_tape([session], min_episode_length=3)
    value = {m.ticker: m.settlement_value for m in session.markets}
    surprises = np.array(
        [
            (value[v.market_ticker] or 0) / PRICE_SCALE - tape.mark2[row] / (2 * tape.payout)
            for v in tape.views
            for row in (v.start, v.stop - 1)
        ]
    ).reshape(-1, 2)
    assert len(surprises) > 20
    for x in surprises.T:
        assert abs(x.mean()) < 3.0 * x.std() / np.sqrt(len(x)) + 0.005


@pytest.mark.parametrize("name", ["nba", "crypto-15m"])
@pytest.mark.parametrize("fair", [600.0, 5_000.0])
def test_news_has_no_direction(name: str, fair: float) -> None:
    flow, rng = flow_of(read_profile(name)), np.random.default_rng(7)
    moves = np.array([moved(rng, flow, fair) - fair for _ in range(4_000)])
    assert moves.std() > 0
    assert abs(moves.mean()) < 3.0 * moves.std() / np.sqrt(len(moves))


def test_times_have_the_gaps_of_the_profile() -> None:
    profile = read_profile("nba")
    times = profile_times(np.random.default_rng(1), profile, 0, 600_000)
    assert times[0] == 0
    assert times[-1] < 600_000
    assert (np.diff(times) > 0).all()
    many = np.diff(profile_times(np.random.default_rng(1), profile, 0, 3 * 3_600_000))
    usual = np.interp(0.5, QUANTILES, profile.gaps)
    assert np.median(many) == pytest.approx(usual, rel=0.5)


def test_few_markets_start_as_far_apart_as_many() -> None:
    profile = read_profile("nba")
    rng = np.random.default_rng(0)
    starts = [draw_market(rng, profile, i, 0, 1_000).fair / 100 for i in range(20)]
    assert min(starts) < np.quantile(profile.starts, 0.15)
    assert max(starts) > np.quantile(profile.starts, 0.85)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gaps": [1.0]}, r"gaps must be 29 numbers"),
        ({"takers": [-1.0] * 29}, r"takers must be 29 numbers"),
        ({"tilt": 7.0}, r"tilt=7\.0: must be a number from 0 to 2"),
        ({"slow": 0.7, "fast": 0.7}, r"slow and fast"),
        ({"starts": [0.0, 50.0]}, r"starts must lie"),
        ({"sizes": [[1.0] * 29]}, r"sizes must be 7 rows"),
        ({"drop": 0.9, "refill": 0.9}, r"taker, drop and refill"),
        ({"news": "often"}, r"no profile"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(json.loads(profile_text(read_profile("nba"))) | change))
    with pytest.raises(ConfigError, match=message):
        read_profile(str(path))


def test_a_profile_keeps_its_numbers_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(profile_text(read_profile("nba")))
    assert read_profile(str(path)) == read_profile("nba")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nbaa", "no profile nbaa; did you mean nba"),
        ("x", "no profile x; there are crypto-15m, fight"),
        ("none.json", "there is no such file"),
    ],
)
def test_an_unknown_profile_is_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_profile(name)


@pytest.mark.parametrize("option", [{"edge": 0.5}, {"deltas": 9}, {"fractional_sizes": True}])
def test_options_of_usual_sessions_do_not_go_with_a_profile(option: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="not for sessions of a profile"):
        generate_session(1, profile="nba", **option)  # type: ignore[arg-type]  # one of several types
