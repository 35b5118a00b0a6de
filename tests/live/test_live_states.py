"""A live market that is fed lifecycle frames too, against the tape of the same capture."""

from __future__ import annotations

import json
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim import BatchSimulator, LiveMarket, SimConfig, Tape, build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export_life import at_start
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.session import MarketInfo
from kalshi_sim.units import money_per_cent
from tests.live.test_live import assert_parity
from tests.support.lives import fee_frame, life_frame, random_life, ranges
from tests.support.modes import examples
from tests.support.wire import MARKET, T0, snapshot, write
from tests.support.wire import delta as delta_frame

pytestmark = pytest.mark.kernel

Frames = list[tuple[int, dict[str, Any]]]
"""(receive time, frame) in order of arrival."""
OPENING = snapshot(1, [["0.4100", "30"], ["0.3800", "20"]], [["0.5600", "5"], ["0.5500", "20"]])
ONLY_HOLD = [True, False, False, False, False]


def told(ms: int, kind: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    """A change of the market's life, at so many ms."""
    return T0 + ms, life_frame(MARKET, kind, ts_ms=T0 + ms, **fields)


def change(ms: int, seq: int, price: str = "0.3800", size: str = "1.00") -> Any:
    """A delta far from the best price."""
    return T0 + ms, delta_frame(seq, ms, price=price, size=size)


HAND_MADE: Frames = [
    (T0, OPENING),
    change(10, 2),
    told(15, "deactivated"),
    change(20, 3),
    told(25, "price_level_structure_updated", price_ranges=ranges(("0", "1", "0.05"))),
    change(30, 4),
    told(35, "activated"),
    change(40, 5),
    (T0 + 45, fee_frame("quadratic", 3, event_ticker="KXGAME-26MAR18AB", ts_ms=T0 + 45)),
    change(50, 6),
    told(55, "price_level_structure_updated", price_ranges=ranges(("0.5", "1", "0.01"))),
    change(60, 7),
    (T0 + 65, fee_frame(None, None, market_ticker=MARKET, ts_ms=T0 + 65)),
    change(70, 8),
    change(80, 9),
]


def imported_tape(frames: Frames, folder: Path) -> tuple[Tape, MarketInfo, int]:
    """The tape of a capture of these frames, the market at its start, the first book event."""
    lines = [{"recv_ts_ns": ms * 1_000_000, "raw": json.dumps(frame)} for ms, frame in frames]
    session = import_captures([write(folder / "a.jsonl", *lines)], session_id=1)
    tape = build_tape([session], min_episode_length=3)
    return tape, at_start(session.markets[0]), session.first_book_ms


def portfolio_of(sim: BatchSimulator, peak2: int) -> Portfolio:
    """What the simulator's one agent has, without orders, in cents."""
    state = {name: values[0] for name, values in sim.state().items()}
    cent = money_per_cent(sim.tape.payout)

    def cents(name: str) -> Decimal:
        return Decimal(int(state[name])) / cent

    return Portfolio(
        cash=cents("cash"),
        position=int(state["position"]),
        cost=cents("cost"),
        realized=cents("realized"),
        fees_paid=cents("fees_paid"),
        peak_equity=Decimal(peak2) / 2 / cent,
    )


def check_parity(frames: Frames, folder: Path, choose: random.Random) -> LiveMarket:
    """Row by row the observations and masks of an agent that crosses, then all rows at the end."""
    tape, market, first_book_ms = imported_tape(frames, folder)
    live = LiveMarket(market, first_book_ms=first_book_ms, payout=tape.payout)
    config = SimConfig(order_size=3, time_in_force="ioc", pricing="cross")
    sim = BatchSimulator(tape, 1, config)
    seen = sim.reset()[0].copy()
    peak2 = 0
    rows = len(tape.views[0])
    for ms, frame in [*frames, (0, {"type": "ok"})]:
        closed = live.finish() if not ms else live.feed_frame(json.dumps(frame), recv_ms=ms)
        if not closed or len(live) >= rows:  # the last row is observed after its settlement
            continue
        peak2 = max(peak2, int(sim.state()["equity2"][0]))
        portfolio = portfolio_of(sim, peak2)
        mask = sim.action_masks()[0]
        np.testing.assert_array_equal(live.action_mask(portfolio, config), mask)
        np.testing.assert_array_equal(live.observation(portfolio, config), seen)
        action = choose.choice(np.flatnonzero(mask).tolist())
        seen = sim.step(np.array([action]))[0][0].copy()
    assert_parity(live, tape, 0)
    return live


def test_frames_of_a_life_give_what_the_tape_has(tmp_path: Path) -> None:
    """What holds at each row by hand: pauses at 20 and 30 ms, and fees times 3 at 50 and 60 ms."""
    tape, _, _ = imported_tape(HAND_MADE, tmp_path)
    (view,) = tape.views
    states = [view.states[k] for k in tape.states.tolist()]
    assert [s.paused for s in states] == [False, False, True, True, *[False] * 5]
    assert [s.taker_multiplier for s in states] == [10_000] * 5 + [30_000] * 2 + [10_000] * 2
    cents, fives, upper = ((0, 100, 1),), ((0, 100, 5),), ((50, 100, 1),)
    assert [s.tick_bands for s in states] == [cents] * 3 + [fives] * 3 + [upper] * 3
    live = check_parity(HAND_MADE, tmp_path, random.Random(4))
    assert [u.known_ms for u in live.market.grid_updates] == [T0 + 25, T0 + 55]
    assert len(live.market.pauses) == 1
    assert len(live.market.fee_updates) == 2


def masks_by_row(config: SimConfig) -> list[list[bool]]:
    """The masks of an agent without a position at every row, the last frame closed by `finish`."""
    live = LiveMarket(MarketInfo(MARKET))
    out = []
    for ms, frame in HAND_MADE:
        if live.feed_frame(json.dumps(frame), recv_ms=ms):
            out.append(live.action_mask(Portfolio(cash=10_000), config).tolist())
    live.finish()
    out.append(live.action_mask(Portfolio(cash=10_000), config).tolist())
    return out


@pytest.mark.parametrize(
    ("pricing", "at_the_end"),
    [
        # On cents from 50 up: an ask of 44 is crossed at 50; a bid of 41 is NO offered at 59,
        # and no NO price of the grid, 50 at most, crosses that.
        ("cross", [True, True, False, False, False]),
        # No bid below 41 to join; NO at 56 is joined at 50.
        ("join", [True, False, False, True, False]),
    ],
)
def test_masks_under_a_pause_and_off_the_grid(pricing: Any, at_the_end: list[bool]) -> None:
    flat = [True, True, False, True, False]
    assert masks_by_row(SimConfig(pricing=pricing)) == [
        *(flat, flat, ONLY_HOLD, ONLY_HOLD, flat, flat),
        *[at_the_end] * 3,
    ]


def test_a_position_may_not_be_sold_in_a_pause() -> None:
    live = LiveMarket(MarketInfo(MARKET))
    holding = Portfolio(cash=10_000, position=5, cost=200)
    masks = []
    for ms, frame in HAND_MADE[:6]:
        if live.feed_frame(json.dumps(frame), recv_ms=ms):
            masks.append(live.action_mask(holding).tolist())
    assert masks == [[True, True, True, True, False]] * 2 + [ONLY_HOLD]


@settings(deadline=None, max_examples=examples(60))
@given(st.integers(0, 2**32))
def test_lives_by_chance_give_what_the_tape_has(seed: int) -> None:
    draw = random.Random(seed)
    frames: Frames = [(T0, OPENING)]
    ms = 0
    for seq in range(2, 25):
        ms += draw.choice((1, 1, 5, 300))
        for _ in range(draw.choice((0, 0, 0, 1, 2))):
            life = random_life(draw, MARKET, T0 + ms)
            if life["msg"].get("event_type") in ("determined", "settled"):
                continue  # a live market need not know it
            life["msg"]["ts_ms"] = T0 + ms
            frames.append((T0 + ms, life))
        side, price = draw.choice((("yes", "0.3800"), ("yes", "0.4100"), ("no", "0.5500")))
        frames.append((T0 + ms, delta_frame(seq, ms, side, price, draw.choice(("1.00", "2.00")))))
    with tempfile.TemporaryDirectory() as folder:
        check_parity(frames, Path(folder), draw)
