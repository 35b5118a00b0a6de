"""Small but nasty sessions, settings and action sequences for property tests.

A hypothesis draw picks a seed and a few knobs; a seeded walk makes a market of them. That goes
deeper into a book's life than primitive draws would, and still shrinks to few moments.
"""

from __future__ import annotations

import random
from typing import Any, get_args

from hypothesis import strategies as st

from kalshi_sim.config import FillModel, Pricing, SimConfig
from kalshi_sim.session import (
    Session,
)
from tests.support.random_markets import (
    START_TIMES,
    STYLES,
    MarketKnobs,
    MarketWalk,
    make_session,
    market_info,
)


@st.composite
def sessions(
    draw: st.DrawFn,
    *,
    max_moments: int = 50,
    max_markets: int = 3,
    nasty: bool | None = None,
    styles: tuple[str, ...] = STYLES,
    trades_recorded: bool | None = None,
    whole_sizes: bool | None = None,
    session_id: int = 1,
    changing: bool = False,
) -> Session:
    """A session of one to three markets whose first one has a handful of rows.

    `changing`: the grid and fees of every market change, and it is paused.
    """
    count = draw(st.integers(1, max_markets))
    start = draw(st.sampled_from(START_TIMES))
    known = draw(st.booleans()) if trades_recorded is None else trades_recorded
    any_fine = draw(st.booleans())
    markets = []
    for i in range(count):
        seed = draw(st.integers(0, 2**32))
        rng = random.Random(seed ^ 0x5EED)
        knobs = MarketKnobs(
            seed=seed,
            moments=draw(st.integers(8, max_moments)),
            style=draw(st.sampled_from(styles)),
            fine=any_fine and rng.random() < 0.8,
            whole_sizes=draw(st.booleans()) if whole_sizes is None else whole_sizes,
            nasty=draw(st.booleans()) if nasty is None else nasty,
        )
        walk = MarketWalk(knobs, start + rng.choice((0, 3, 700)), known)
        events = walk.run()
        info = market_info(rng, walk, f"KXTEST{session_id}-26-M{i}", changing=changing)
        markets.append((info, events))
    return make_session(markets, session_id=session_id, trades_recorded=known)


def configs(**fixed: Any) -> st.SearchStrategy[SimConfig]:
    """Settings over the whole range of what the simulation can be set to."""
    seeds = st.integers(0, 2**32)
    return seeds.map(lambda seed: random_config(random.Random(seed), **fixed))


def random_config(rng: random.Random, **fixed: Any) -> SimConfig:
    """Settings drawn by a seeded generator, some of them given."""
    chosen: dict[str, Any] = {
        "cash_start": rng.choice((1, 3, 60, 150, 777, 2_500, 10_000, 10_000, 1_000_000)),
        "order_size": rng.choice((1, 2, 3, 7, 10, 10, 25, 100)),
        "pricing": rng.choice(get_args(Pricing)),
        "time_in_force": rng.choice(("gtc", "gtc", "gtc", "ioc")),
        "fill_model": rng.choice(get_args(FillModel)),
        "trade_share": rng.choice((0.0, 0.05, 0.3, 0.29, 1.0)),
        "queue_power": rng.choice((1, 2, 3)),
        "latency_ms": rng.choice((0, 0, 0, 1, 2, 30, 1_500)),
        "fees": rng.random() < 0.8,
        "valuation": rng.choice(("mid", "mid", "liquidation")),
        "end_of_data": rng.choice(("terminate", "truncate")),
        "max_episode_steps": rng.choice((None, None, None, 1, 5, 17)),
        "reward_scale": rng.choice((1.0, 1.0, 0.01, 3.7)),
        "record_fills": True,
        **fixed,
    }
    if chosen["time_in_force"] == "ioc":
        chosen["pricing"] = "cross"
    chosen.setdefault("max_position", chosen["order_size"] * rng.choice((1, 2, 5, 40)))
    return SimConfig(**chosen)


def maker_config(rng: random.Random) -> SimConfig:
    """Settings under which orders rest, queue and fill on both sides."""
    return random_config(
        rng,
        cash_start=1_000_000,
        pricing=rng.choice(("join", "join", "improve")),
        time_in_force="gtc",
        fill_model=rng.choice(("queue", "prob", "prob", "touch")),
        latency_ms=rng.choice((0, 0, 0, 30)),
        max_episode_steps=None,
    )


def random_actions(rng: random.Random, count: int) -> list[int]:
    """Actions of one of several temperaments."""
    weights = rng.choice(
        (
            (1, 1, 1, 1, 1),
            (6, 1, 1, 1, 1),
            (20, 1, 1, 1, 1),
            (3, 3, 1, 0, 0),
            (2, 1, 2, 1, 2),
            (3, 0, 0, 3, 1),
            (4, 2, 0, 2, 0),
        )
    )
    return rng.choices(range(5), weights, k=count)
