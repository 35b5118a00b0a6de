"""LiveMarket against the tape of the same stream, bit for bit."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim import BatchSimulator, LiveMarket, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.session import Events, MarketInfo, Session
from kalshi_sim.units import money_per_cent
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded
from tests.support.strategies import sessions
from tests.support.streams import NO, YES, delta, gap, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel

RECORDINGS = ["mixed", "ladder"] if INTERPRETED else ["nba", "ufc", "btc", "mixed", "ladder"]
"""Without compilation, importing the large recordings takes too long."""


def follow(session: Session, tape: Tape, ticker: str, cuts: list[int]) -> LiveMarket:
    """A live market fed the stream of `ticker`, cut at these events."""
    market = LiveMarket(
        session.markets[session.market_index(ticker)],
        first_book_ms=session.first_book_ms,
        payout=tape.payout,
        depth=tape.depth,
        row_interval_ms=tape.row_interval_ms,
    )
    events = session.market_events(ticker)
    bounds = [0, *cuts, len(events)]
    rows = sum(market.feed(events[a:b]) for a, b in itertools.pairwise(bounds))
    assert rows + market.finish() == len(market)
    return market


def frame_cuts(events: Events) -> list[int]:
    """Where a new frame begins."""
    cuts: list[int] = (np.flatnonzero(np.diff(events.frame)) + 1).tolist()
    return cuts


def assert_parity(market: LiveMarket, tape: Tape, view: int) -> None:
    """Equal rows, but for the traded part of the flow."""
    rows = tape.views[view].rows
    for name in ("ts_ms", "px", "qty", "mark2", "features"):
        np.testing.assert_array_equal(getattr(market, name), getattr(tape, name)[rows], name)
    flow = tape.flow[tape.flow_offsets[rows.start] : tape.flow_offsets[rows.stop]]
    np.testing.assert_array_equal(market.flow[:, :4], flow[:, :4])


@pytest.mark.parametrize("name", RECORDINGS)
def test_parity_on_every_market_of_the_recordings(recorded: Recorded, name: str) -> None:
    """Frame by frame; the busiest markets of the largest recording in random bites."""
    session = recorded.session(name)
    tape = build_tape([session], min_episode_length=3)
    rng = random.Random(18)
    for i, view in enumerate(tape.views):
        events = session.market_events(view.market_ticker)
        frames = frame_cuts(events)
        few = name != "nba" or len(events) < 14_000
        cuts = frames if few else sorted(rng.sample(frames, len(frames) // 300))
        assert_parity(follow(session, tape, view.market_ticker, cuts), tape, i)


@given(sessions(), st.integers(1, 2000), st.randoms(use_true_random=False))
def test_parity_however_the_stream_is_cut(
    session: Session, row_interval_ms: int, rng: random.Random
) -> None:
    try:
        tape = build_tape([session], min_episode_length=3, row_interval_ms=row_interval_ms)
    except ValueError:
        return
    for i, view in enumerate(tape.views):
        n = len(session.market_events(view.market_ticker))
        cuts = sorted(rng.sample(range(n), rng.randrange(n)))
        assert_parity(follow(session, tape, view.market_ticker, cuts), tape, i)


def example() -> Session:
    return session_of(
        snapshot(0, {40: 10, 39: 5}, {55: 20}),
        delta(10, YES, 41, 7),
        delta(2_000, NO, 55, -20),
        delta(2_001, NO, 54, 30),
        gap(2_500),
        delta(2_600, NO, 54, 30),
        snapshot(3_000, {45: 10}, {50: 20}),
        delta(3_001, YES, 45, 1),
    )


def wire(
    side: str, price: str, change: str, ts: int, ticker: str = "KXHAND-26-A", seq: int = 2
) -> str:
    message = {
        "market_ticker": ticker,
        "price_dollars": price,
        "delta_fp": change,
        "side": side,
        "ts_ms": ts,
    }
    return json.dumps({"type": "orderbook_delta", "sid": 1, "seq": seq, "msg": message})


def test_wire_frames_are_read_and_other_markets_ignored() -> None:
    t0 = 1_773_864_000_000
    market = LiveMarket(MarketInfo("KXHAND-26-A"))
    first = {
        "market_ticker": "KXHAND-26-A",
        "yes_dollars_fp": [["0.4000", "10.00"]],
        "no_dollars_fp": [["0.5500", "20.00"]],
    }
    snapshot_frame = json.dumps({"type": "orderbook_snapshot", "sid": 1, "seq": 1, "msg": first})
    assert market.feed_frame(wire("yes", "0.41", "7.00", t0)) == 0  # before the snapshot
    assert market.feed_frame(snapshot_frame, recv_ms=t0) == 0
    assert market.feed_frame(wire("yes", "0.41", "7.00", t0 + 5, "KXOTHER-26-B")) == 0
    assert market.feed_frame(wire("yes", "0.41", "7.00", t0 + 10, seq=3).encode()) == 1
    assert market.feed_frame('{"type": "ok", "id": 1, "sid": 1, "seq": 4}') == 0
    assert market.finish() == 1
    assert market.ts_ms.tolist() == [t0, t0 + 10]
    assert market.px[1, 0, :3].tolist() == [41, 40, 0]


def test_a_snapshot_frame_without_a_time_is_refused() -> None:
    frame = '{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"KXHAND-26-A"}}'
    with pytest.raises(DataError, match="receive time"):
        LiveMarket(MarketInfo("KXHAND-26-A")).feed_frame(frame)


def lifecycle(kind: str, close_ts: int, ts: int) -> str:
    message = {
        "market_ticker": "KXHAND-26-A",
        "event_type": kind,
        "close_ts": close_ts // 1000,
        "ts": ts // 1000,
    }
    return json.dumps({"type": "market_lifecycle_v2", "sid": 3, "msg": message})


def test_a_close_time_that_moves_is_followed() -> None:
    t0 = 1_773_864_000_000
    market = LiveMarket(MarketInfo("KXHAND-26-A", close_time_ms=t0 + 3_000))
    first = {"market_ticker": "KXHAND-26-A", "yes_dollars_fp": [["0.4000", "10.00"]]}
    frame = json.dumps({"type": "orderbook_snapshot", "sid": 1, "seq": 1, "msg": first})
    market.feed_frame(frame, recv_ms=t0)
    market.feed_frame(wire("yes", "0.41", "7.00", t0 + 1_500))
    market.feed_frame(lifecycle("close_date_updated", t0 + 100_000, t0 + 2_000))
    for seq, ts in enumerate((t0 + 2_500, t0 + 4_000, t0 + 5_000), start=3):
        market.feed_frame(wire("yes", "0.41", "1.00", ts, seq=seq))
    market.finish()
    assert market.ts_ms.tolist() == [t0, t0 + 1_500, t0 + 2_500, t0 + 4_000, t0 + 5_000]


def test_what_comes_before_the_first_snapshot_tells_the_time() -> None:
    """A delta at 5 s, then a snapshot of 1 s: the snapshot is raised, as in a tape."""
    session = session_of(delta(5_000, YES, 40, 1), snapshot(1_000, {40: 10}), quiet(6_000, 4))
    session = replace(session, first_book_ms=int(session.events.ts_ms[0]))
    tape = build_tape([session], min_episode_length=3)
    market = LiveMarket(session.markets[0])
    for i in range(len(session.events)):
        market.feed(session.events[i : i + 1])
    market.finish()
    assert_parity(market, tape, 0)


def test_a_live_snapshot_takes_its_receive_time() -> None:
    first = {"market_ticker": "KXHAND-26-A", "yes_dollars_fp": [["0.4000", "10.00"]]}
    frame = {
        "type": "orderbook_snapshot",
        "sid": 1,
        "seq": 1,
        "sending_ts_ms": 1_773_864_000_500,
        "msg": first,
    }
    market = LiveMarket(MarketInfo("KXHAND-26-A"))
    market.feed_frame(json.dumps(frame), recv_ms=1_773_864_000_900)
    market.finish()
    assert market.ts_ms.tolist() == [1_773_864_000_900]


def test_other_frames_of_any_shape_do_nothing() -> None:
    market = LiveMarket(MarketInfo("KXHAND-26-A"))
    assert market.feed_frame('{"type": "foo", "msg": {"side": 5}}') == 0
    with pytest.raises(DataError, match="KXHAND-26-A"):
        market.feed_frame(wire("yes", "0.41", "7" * 25, 1_000))


def test_a_broken_frame_is_refused() -> None:
    with pytest.raises(DataError, match="KXHAND-26-A"):
        LiveMarket(MarketInfo("KXHAND-26-A")).feed_frame('{"type": "orderbook_delta"')


def test_advance_closes_the_row_and_keeps_time_from_running_back() -> None:
    session = session_of(snapshot(0, {40: 10}, {55: 20}), delta(0, YES, 41, 7))
    events = session.market_events("KXHAND-26-A")
    market = LiveMarket(session.markets[0])
    assert market.advance(5) == 0
    market.feed(events)
    now = int(events.ts_ms[-1])
    assert market.advance(now) == 0
    assert market.advance(now + 1) == 1
    assert market.advance(now + 2) == 0
    market.feed(events[2:])
    assert market.finish() == 1
    assert market.ts_ms.tolist() == [now, now + 1]


def test_a_gap_drops_what_follows_until_the_next_snapshot() -> None:
    session = example()
    events = session.market_events("KXHAND-26-A")
    tape = build_tape([session], min_episode_length=3)
    market = LiveMarket(session.markets[0])
    at = int(np.flatnonzero(events.kind == 4)[0])
    market.feed(events[:at])
    market.gap()
    market.feed(events[at + 1 :])
    market.finish()
    assert_parity(market, tape, 0)


def test_the_observation_is_the_one_training_saw() -> None:
    """At every step of an episode, from the state of the simulator as a portfolio."""
    session = example()
    tape = build_tape([session], min_episode_length=3)
    for pricing in ("cross", "join"):
        config = SimConfig(pricing=pricing, order_size=3)
        sim = BatchSimulator(tape, 1, config)
        seen = sim.reset()[0].copy()
        peak = 2 * config.cash_start * money_per_cent(tape.payout)
        market = LiveMarket(session.markets[0])
        events = session.market_events("KXHAND-26-A")
        for t in range(len(tape) - 1):
            row_end = int(np.searchsorted(events.ts_ms, tape.ts_ms[t], side="right"))
            market = LiveMarket(session.markets[0])
            market.feed(events[:row_end])
            market.finish()
            state = sim.state()
            value2 = int(state["equity2"][0])
            peak = max(peak, value2)
            orders = [
                (
                    int(state["order_price"][0, s]),
                    int(state["order_size"][0, s]),
                    int(state["order_ahead"][0, s]),
                )
                if state["order_size"][0, s]
                else None
                for s in (YES, NO)
            ]
            portfolio = Portfolio(
                cash=int(state["cash"][0]),
                position=int(state["position"][0]),
                cost=int(state["cost"][0]),
                realized=int(state["realized"][0]),
                fees_paid=int(state["fees_paid"][0]),
                peak_equity=Decimal(peak) / 2,
                yes_order=orders[0],
                no_order=orders[1],
            )
            np.testing.assert_array_equal(market.observation(portfolio, config), seen)
            seen = sim.step(np.array([1 + t % 4]))[0][0].copy()


def test_a_saved_policy_acts_on_the_live_book(tmp_path: Path) -> None:
    from stable_baselines3 import PPO

    from kalshi_sim import KalshiVecEnv

    session = example()
    env = KalshiVecEnv(build_tape([session], min_episode_length=3), n_envs=2)
    PPO("MlpPolicy", env, n_steps=2, batch_size=4, device="cpu").save(tmp_path / "m.zip")
    market = LiveMarket(session.markets[0])
    market.feed(session.market_events("KXHAND-26-A"))
    action = market.act(PPO.load(tmp_path / "m.zip", device="cpu"), Portfolio(cash=10_000))
    assert action in range(5)


class Remembering:
    """Counts the rows it was asked at, and notes what it was given."""

    def __init__(self) -> None:
        self.states: list[int | None] = []
        self.masks: list[list[bool]] = []

    def predict(
        self,
        observation: Any,
        state: int | None = None,
        *,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """The number of rows before this one, as an action."""
        self.states.append(state)
        self.masks.append(action_masks.tolist())
        return np.int64(state or 0), (state or 0) + 1


def test_a_policy_keeps_its_memory_and_sees_the_mask() -> None:
    events = example().market_events("KXHAND-26-A")
    market, policy, other = LiveMarket(MarketInfo("KXHAND-26-A")), Remembering(), Remembering()
    cash = Portfolio(cash=10_000)
    acted, rows = [], 0
    for k in range(len(events.kind)):
        market.feed(events[k : k + 1])
        if len(market) > rows:
            rows = len(market)
            acted.append([market.act(policy, cash) for _ in range(2)])
            assert policy.masks[-1] == market.action_mask(cash).tolist()
    assert rows > 2
    assert acted == [[k, k] for k in range(rows)]  # asked again at a row it has done nothing more
    assert market.act(other, cash) == 0  # nobody else's memory


def test_mistakes_are_named() -> None:
    market = LiveMarket(MarketInfo("KXHAND-26-A"))
    with pytest.raises(DataError, match="no row has closed"):
        market.observation(Portfolio(cash=1))
    with pytest.raises(DataError, match="no book event"):
        _ = market.payout
    with pytest.raises(ConfigError, match="depth"):
        LiveMarket(MarketInfo("KXHAND-26-A"), depth=0)
    market.feed(example().market_events("KXHAND-26-A"))
    with pytest.raises(ConfigError, match="finer"):
        market.observation(Portfolio(cash=Decimal("0.5")))
    fine = Events.from_columns(kind=[2], side=[0], price=[4_150], size=[100], ts_ms=[9**15])
    with pytest.raises(DataError, match="finer than the money unit"):
        market.feed(fine)
