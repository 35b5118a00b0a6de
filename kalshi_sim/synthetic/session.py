"""Generated sessions: realistic markets from an order-level simulation, the same for a seed.

    session = generate_session(9, markets=500, minutes=35, seed=9)

docs/generator.md describes how they are made and how close they come to recordings.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.kernels.jit import say_if_compiling
from kalshi_sim.origins import SYNTHETIC
from kalshi_sim.session import (
    GENERATED_PREFIX,
    EventKind,
    Events,
    Int64Array,
    MarketInfo,
    PriceRanges,
    Session,
)
from kalshi_sim.synthetic import edge as synthetic_edge
from kalshi_sim.synthetic import making as synthetic_making
from kalshi_sim.synthetic.market import (
    USUAL_MINUTES,
    MarketPlan,
    market_updates,
    plan_market,
)
from kalshi_sim.synthetic.order_flow import run_market
from kalshi_sim.synthetic.profile import Profile, read_profile
from kalshi_sim.synthetic.profile_market import draw_market, trade_profile
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CLEAR,
    FILL,
    LOG_KIND,
    LOG_LEVEL,
    LOG_SIDE,
    LOG_SIZE,
    LOG_TIME,
    LOGGED,
    MAX_ORDERS,
    OPENING,
    STATE,
    UNFILLED,
    new_book,
)
from kalshi_sim.synthetic.truth import MarketLog, TrueQueue
from kalshi_sim.units import MS_PER_DAY, MS_PER_MINUTE, PRICE_SCALE
from kalshi_sim.validated import Within, check_value

EPOCH_MS: Final = int(datetime(2026, 4, 1, 16, tzinfo=UTC).timestamp()) * 1000
"""Session 0 starts here; session n a day later for each of n modulo 28."""
USUAL_MARKETS: Final = 500
USUAL_SEED: Final = 9
_NO_PROFILE: Final = (0.0, None, 0.0, False)
BOOK_SID: Final = 1
TRADE_SID: Final = 2
"""Subscriptions of book frames and of trades."""


def generate_session(
    session_id: int,
    *,
    markets: int | None = None,
    minutes: float | None = None,
    seed: int = USUAL_SEED,
    edge: float = 0.0,
    making: bool = False,
    deltas: int | None = None,
    sub_penny_share: float = 0.0,
    fractional_sizes: bool = False,
    profile: Profile | str | None = None,
) -> Session:
    """A generated session; the same arguments give the same session, bit for bit.

    Args:
        session_id: number of the session, 0 or more; part of the seed.
        markets: how many (500, or the profile's number); market i is the same however many there
            are (unless `deltas` is set).
        minutes: length of the recording (35, or the profile's).
        seed: 0 or more.
        edge: 0 for prices nobody can predict; up to 1 for a planted predictability.
        making: markets in which only quotes pay that are cancelled in time (`making.py`).
        deltas: at least about so many book updates in all; None: as in a real session.
        sub_penny_share: share of markets that trade in 0.1 cent below 10 and above 90 cents.
        fractional_sizes: whether sizes have two decimals.
        profile: the kind of market, or its name, instead of the quiet one that `edge`, `deltas`,
            `sub_penny_share` and `fractional_sizes` are for.

    Raises:
        ConfigError: an argument is outside its range.
    """
    return generate_with_truth(
        session_id,
        markets=markets,
        minutes=minutes,
        seed=seed,
        edge=edge,
        making=making,
        deltas=deltas,
        sub_penny_share=sub_penny_share,
        fractional_sizes=fractional_sizes,
        profile=profile,
    )[0]


def generate_with_truth(
    session_id: int,
    *,
    markets: int | None = None,
    minutes: float | None = None,
    seed: int = USUAL_SEED,
    edge: float = 0.0,
    making: bool = False,
    deltas: int | None = None,
    sub_penny_share: float = 0.0,
    fractional_sizes: bool = False,
    profile: Profile | str | None = None,
) -> tuple[Session, TrueQueue]:
    """`generate_session` (same arguments), and the queues behind it.

    Returns:
        The session and the truth about every order's place: see `TrueQueue`.

    Raises:
        ConfigError: an argument is outside its range.
    """
    if isinstance(profile, str):
        profile = read_profile(profile)
    if profile is not None and (edge, deltas, sub_penny_share, fractional_sizes) != _NO_PROFILE:
        raise ConfigError(
            "edge, deltas, sub_penny_share and fractional_sizes are not for sessions of a profile"
        )
    if markets is None:
        markets = USUAL_MARKETS if profile is None else profile.markets
    if minutes is None:
        minutes = USUAL_MINUTES if profile is None else profile.minutes
    check_value("session_id", session_id, int, Within(0, 2**31))
    check_value("markets", markets, int, Within(1, 100_000))
    check_value("minutes", minutes, float, Within(0.1, 7 * 24 * 60))
    check_value("seed", seed, int, Within(0, 2**63 - 1))
    check_value("edge", edge, float, Within(0, 1))
    check_value("sub_penny_share", sub_penny_share, float, Within(0, 1))
    if making and (edge > 0.0 or sub_penny_share > 0.0 or fractional_sizes or profile is not None):
        raise ConfigError("making goes with neither edge, sub-penny grids, decimals nor a profile")
    kernel = "run_making" if making else "run_market" if profile is None else "run_profile_market"
    say_if_compiling(kernel, "the generator", Path(__file__).parent)
    start_ms = EPOCH_MS + session_id % 28 * MS_PER_DAY
    stop_ms = start_ms + int(minutes * MS_PER_MINUTE)
    planted = synthetic_making.UPDATES if making else synthetic_edge.UPDATES if edge > 0.0 else None
    infos: list[MarketInfo] = []
    logs: list[MarketLog] = []
    if profile is not None:
        for i in range(markets):
            info, market_log = _profile_market(profile, (seed, session_id, i), start_ms, stop_ms)
            infos.append(info)
            logs.append(market_log)
        return _session(session_id, infos, logs, start_ms, stop_ms)
    updates = _updates(markets, minutes, seed, planted, deltas)
    for i in range(markets):
        rng = market_stream(seed, session_id, i, 0)
        plan = plan_market(
            rng,
            updates=int(updates[i]),
            start_ms=start_ms,
            stop_ms=stop_ms,
            edge=edge,
            making=making,
            sub_penny=bool(rng.random() < sub_penny_share),
            fractional=fractional_sizes,
        )
        log, fair = _trade(plan, (seed, session_id, i, 1))
        result = PRICE_SCALE if rng.random() * PRICE_SCALE < fair else 0
        close = (plan.close_ms, plan.known_ms)
        infos.append(_describe(session_id, i, close, plan.ranges, result))
        logs.append(MarketLog(plan.grid, log))
    return _session(session_id, infos, logs, start_ms, stop_ms)


def _profile_market(
    profile: Profile, key: tuple[int, int, int], start_ms: int, stop_ms: int
) -> tuple[MarketInfo, MarketLog]:
    """A market of a profile, which closes with the recording; key: seed, session and market."""
    _, session_id, i = key
    rng = market_stream(*key, 0)
    market = draw_market(rng, profile, i, start_ms, stop_ms)
    log, fair = trade_profile(market, partial(market_stream, *key, 1))
    result = PRICE_SCALE if rng.random() * PRICE_SCALE < fair else 0
    info = _describe(session_id, i, (stop_ms, stop_ms), market.ranges, result)
    return info, MarketLog(market.grid, log)


def _session(
    session_id: int, infos: list[MarketInfo], logs: list[MarketLog], start_ms: int, stop_ms: int
) -> tuple[Session, TrueQueue]:
    """All markets' logs as one stream, and the queues behind it."""
    market_of, events = _events(logs)
    session = assemble_session(
        session_id,
        infos,
        market_of,
        events,
        trades_recorded=True,
        source=SYNTHETIC,
        started_ms=start_ms,
        last_message_ms=stop_ms,
        gaps_checked=True,
    )
    return session, TrueQueue({m.ticker: log for m, log in zip(infos, logs, strict=True)})


def market_stream(seed: int, session_id: int, market: int, use: int) -> np.random.Generator:
    """Random numbers of one use in one market, independent of all others.

    Args:
        seed: of the session, 0 or more.
        session_id: number of the session.
        market: index of the market, from 0.
        use: 0 to draw the market, 1 to let it trade.

    Returns:
        The generator.
    """
    key = (session_id, market, use)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _updates(
    markets: int, minutes: float, seed: int, planted: tuple[int, int] | None, deltas: int | None
) -> Int64Array:
    """How many instants each market has, shape [markets]; `planted`: least and most of them."""
    usual = np.array([market_updates(i, seed) for i in range(markets)])
    if planted is not None:
        least, most = planted
        usual = least + (most - least) * (usual % 1.0)
    scale = minutes / USUAL_MINUTES
    if deltas is not None:
        check_value("deltas", deltas, int, Within(1, 2**31))
        # An instant has at least one delta, on average some more.
        scale = deltas / usual.sum()
    updates = np.ceil(usual * scale).astype(np.int64)
    room = int(minutes * MS_PER_MINUTE * 0.1)
    if updates.max() > room:
        raise ConfigError(
            f"deltas={deltas}: the most active of {markets} markets would need {updates.max()} "
            f"updates in {minutes} minutes, allowed are {room}; ask for more markets or minutes"
        )
    return updates


def _trade(plan: MarketPlan, stream: tuple[int, int, int, int]) -> tuple[Int64Array, float]:
    """The log of a market and its last fair value; starts over if the log was too short."""
    capacity = 4 * len(plan.times) + 8 * MAX_ORDERS
    while True:
        book = new_book(len(plan.grid), capacity)
        rng = market_stream(*stream)
        if plan.making:
            fair = synthetic_making.run_making(rng, plan.times, plan.fair, book)
        else:
            fair = run_market(
                rng,
                plan.times,
                plan.grid,
                plan.maker_sizes,
                plan.taker_sizes,
                plan.flow,
                plan.fair,
                book,
            )
        if fair >= 0.0:
            return book.log[: book.counts[LOGGED]].copy(), fair
        capacity *= 2


def _describe(
    session_id: int, market: int, close: tuple[int, int], ranges: PriceRanges, result: int
) -> MarketInfo:
    """The metadata; two neighbouring markets belong to one event.

    close: its time and when the result is known, both in ms.
    """
    event = f"{GENERATED_PREFIX}S{session_id}E{market // 2:05d}"
    return MarketInfo(
        ticker=f"{event}-{'AB'[market % 2]}",
        event_ticker=event,
        close_time_ms=close[0],
        settlement_value=result,
        settlement_known_ms=close[1],
        price_ranges=ranges,
    )


_KIND_OF: Final = np.full(UNFILLED + 1, EventKind.DELTA, dtype=np.int8)
_KIND_OF[CLEAR] = EventKind.SNAPSHOT
_KIND_OF[STATE] = EventKind.LEVEL
_COPIES: Final = np.ones(UNFILLED + 1, dtype=np.int64)
_COPIES[FILL] = 2
_COPIES[[OPENING, UNFILLED]] = 0
"""Events of a log line: a fill is a delta and then a trade; some lines nobody sees."""


def _events(logs: list[MarketLog]) -> tuple[Int64Array, Events]:
    """The public stream of all markets and each event's market."""
    lines = np.concatenate([log.lines for log in logs])
    market = np.repeat(np.arange(len(logs)), [len(log.lines) for log in logs])
    price = np.concatenate([log.grid[log.lines[:, LOG_LEVEL]] for log in logs])
    kind = lines[:, LOG_KIND]
    order = np.argsort(lines[:, LOG_TIME], kind="stable")
    rows = np.repeat(order, _COPIES[kind[order]])
    is_trade = np.zeros(len(rows), dtype=bool)
    is_trade[1:] = (rows[1:] == rows[:-1]) & (kind[rows[1:]] == FILL)
    event_kind = np.where(is_trade, np.int8(EventKind.TRADE), _KIND_OF[kind[rows]])
    grows = is_trade | (kind[rows] == ADD) | (event_kind == EventKind.LEVEL)
    size = np.where(grows, lines[rows, LOG_SIZE], -lines[rows, LOG_SIZE])
    new_frame = event_kind != EventKind.LEVEL
    is_snapshot = event_kind == EventKind.SNAPSHOT
    events = Events.from_columns(
        kind=event_kind,
        side=lines[rows, LOG_SIDE],
        price=np.where(is_snapshot, 0, price[rows]),
        size=size,
        ts_ms=lines[rows, LOG_TIME],
        seq=np.where(is_trade, np.cumsum(is_trade), np.cumsum(new_frame & ~is_trade)),
        sid=np.where(is_trade, TRADE_SID, BOOK_SID),
        frame=np.cumsum(new_frame) - 1,
    )
    return market[rows], events
