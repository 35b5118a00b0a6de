"""Compiled and slow on slices of the real recordings."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from kalshi_sim.reference.agreement import assert_tapes_equal, twins
from kalshi_sim.reference.comparing import assert_same_episode
from kalshi_sim.reference.engines import run_compiled_batch, run_oracle_on
from kalshi_sim.reference.tape import Book
from kalshi_sim.session import EventKind, Events, Session
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded
from tests.support.strategies import random_actions, random_config

pytestmark = pytest.mark.kernel

EVENTS = 200 if INTERPRETED else 900
EPISODES = 5
MARKETS = {
    "nba": "KXNBAGAME-26MAR18UTAMIN-UTA",
    "ufc": None,
    "btc": None,
    "mixed": None,
    "ladder": None,
}
"""Recording -> a busy market of it; None: its busiest."""
NAMES = ["mixed", "ladder"] if INTERPRETED else list(MARKETS)
"""Without compilation, importing the large recordings takes too long."""


def busiest(session: Session) -> str:
    """The market with the most events."""
    return session.markets[int(np.argmax(np.diff(session.market_offsets)))].ticker


def slice_of(session: Session, ticker: str, share: float, count: int) -> Session:
    """`count` events from somewhere in a market, after a snapshot of the book as it was there."""
    events = session.market_events(ticker)
    first = int(len(events) * share)
    book = Book()
    for i in range(first):
        if events.kind[i] != EventKind.TRADE:
            book.apply(
                *(
                    int(c[i])
                    for c in (events.kind, events.side, events.price, events.size, events.traded)
                )
            )
    rows = [(EventKind.SNAPSHOT, 0, 0, 0)]
    rows += [
        (EventKind.LEVEL, side, price, size)
        for side in (0, 1)
        for price, size in book.sizes[side].items()
    ]
    kind, side, price, size = zip(*rows, strict=True)
    before = int(events.ts_ms[max(0, first - 1)])
    start = Events.from_columns(
        kind=kind, side=side, price=price, size=size, ts_ms=[before] * len(rows)
    )
    part = Events.concatenate([start, events[slice(first, first + count)]])
    market = replace(
        session.markets[session.market_index(ticker)],
        taker_multiplier=10_000,
        maker_multiplier=10_000,
    )
    return replace(session, markets=(market,), events=part, market_offsets=np.array([0, len(part)]))


@pytest.mark.parametrize("interval", [1, 100])
@pytest.mark.parametrize("share", [0.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_a_slice_agrees(recorded: Recorded, name: str, share: float, interval: int) -> None:
    session = recorded.session(name)
    part = slice_of(session, MARKETS[name] or busiest(session), share, EVENTS)
    tape, views = twins([part], row_interval_ms=interval)
    assert_tapes_equal(tape, views)
    rng = random.Random(f"{name} {share} {interval}")
    for _ in range(EPISODES):
        config = random_config(rng, max_episode_steps=None)
        actions = random_actions(rng, len(tape))
        [compiled] = run_compiled_batch(tape, config, [actions])
        assert_same_episode(compiled, run_oracle_on(views[0], config, actions))
