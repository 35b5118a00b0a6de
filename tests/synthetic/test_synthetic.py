"""Generated sessions: reproducible, consistent, realistic, unpredictable, and with a true queue."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_sim import BatchSimulator, SimConfig, build_tape
from kalshi_sim.errors import ConfigError, SessionNotFoundError
from kalshi_sim.grid import SUB_PENNY_GRID, grid_prices
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic import session as synthetic
from kalshi_sim.synthetic.edge import best_edge_policy
from kalshi_sim.synthetic.market import plan_market
from kalshi_sim.synthetic.order_flow import Flow, run_market
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    CLEAR,
    FILL,
    OPENING,
    STATE,
    UNFILLED,
    new_book,
)
from kalshi_sim.synthetic.session import generate_session, generate_with_truth
from kalshi_sim.synthetic.truth import MarketLog, TrueQueue
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE
from tests.support.modes import INTERPRETED

pytestmark = pytest.mark.kernel

FEW = 12 if INTERPRETED else 60


def logs_of(truth: TrueQueue) -> dict[str, MarketLog]:
    return truth._logs


@pytest.fixture(scope="module")
def generated() -> tuple[Session, TrueQueue]:
    return generate_with_truth(4, markets=FEW, seed=5, sub_penny_share=0.3, fractional_sizes=True)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again = (generate_session(2, markets=FEW, seed=3) for _ in range(2))
    assert first.events.equals(again.events)
    assert first.markets == again.markets
    assert (first.started_ms, first.last_message_ms) == (again.started_ms, again.last_message_ms)
    assert not first.events.equals(generate_session(2, markets=FEW, seed=4).events)
    assert not first.events.equals(generate_session(3, markets=FEW, seed=3).events)


def test_a_market_does_not_depend_on_how_many_others_there_are() -> None:
    few, more = generate_session(2, markets=4), generate_session(2, markets=9)
    ticker = few.markets[3].ticker
    assert more.markets[3] == few.markets[3]
    one, other = few.market_events(ticker), more.market_events(ticker)
    for column in ("kind", "side", "price", "size", "traded", "ts_ms"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_numbers_are_dense_and_in_stream_order(generated: tuple[Session, TrueQueue]) -> None:
    events = generated[0].events
    order = np.lexsort((events.kind == EventKind.LEVEL, events.frame))
    stream = events[order.astype(np.int64)]
    assert (np.diff(stream.ts_ms) >= 0).all()
    for sid in (synthetic.BOOK_SID, synthetic.TRADE_SID):
        here = stream[(stream.sid == sid) & (stream.kind != EventKind.LEVEL)]
        np.testing.assert_array_equal(here.seq, np.arange(1, len(here) + 1))


def test_all_is_consistent_and_every_trade_has_its_delta(
    generated: tuple[Session, TrueQueue],
) -> None:
    session, _ = generated
    total = session.quality.total
    assert total.trades == total.trades_matched > 0
    assert total.clamped_deltas == total.raised_times == total.crossed_ms == 0
    assert total.dropped_before_snapshot == total.inferred_times == 0
    assert session.source == "synthetic"
    assert session.trades_recorded


def test_replaying_the_events_gives_the_generators_own_book(
    generated: tuple[Session, TrueQueue],
) -> None:
    session, truth = generated
    for market in session.markets:
        book: dict[tuple[int, int], int] = {}
        e = session.market_events(market.ticker)
        for kind, side, price, size in zip(e.kind, e.side, e.price, e.size, strict=True):
            key = (int(side), int(price))
            if kind == EventKind.SNAPSHOT:
                expected, book = book, {}
            elif kind == EventKind.LEVEL:
                book[key] = int(size)
                # A later snapshot repeats the book; the first one has nothing before it.
                assert not expected or expected[key] == size
            elif kind == EventKind.DELTA:
                book[key] = book.get(key, 0) + int(size)
                assert book[key] >= 0
                if not book[key]:
                    del book[key]
        last = int(e.ts_ms[-1])
        assert {k: truth.ahead(market.ticker, last, *k) for k in book} == book
        standing = {
            (side, int(price))
            for side in (0, 1)
            for price in logs_of(truth)[market.ticker].grid
            if truth.ahead(market.ticker, last, side, int(price))
        }
        assert standing == set(book)


class NaiveQueue:
    """Lists of orders by price, oldest first; a guest order may stand among them."""

    def __init__(self) -> None:
        self.queues: dict[tuple[int, int], list[list[int]]] = {}

    def best(self, side: int) -> int:
        return max((p for (s, p), q in self.queues.items() if s == side and q), default=-1)

    def apply(self, kind: int, side: int, price: int, size: int, number: int) -> None:
        queue = self.queues.setdefault((side, price), [])
        if kind in (OPENING, ADD):
            queue.append([number, size])
            return
        place = [n for n, _ in queue].index(number)
        if kind == FILL:
            assert price == self.best(side), "a taker meets the best price first"
            assert place == 0, "and the oldest order there"
        queue[place][1] -= size
        assert queue[place][1] >= 0
        if queue[place][1] == 0:
            del queue[place]


def naive_lines(log: MarketLog) -> list[tuple[int, int, int, int, int, int]]:
    return [
        (int(t), int(k), int(s), int(log.grid[level]), int(size), int(number))
        for t, k, s, level, size, number in log.lines
        if k not in (CLEAR, STATE)
    ]


def test_takers_meet_orders_by_price_and_then_by_time(
    generated: tuple[Session, TrueQueue],
) -> None:
    fills = 0
    for log in logs_of(generated[1]).values():
        naive = NaiveQueue()
        for _, kind, *rest in naive_lines(log):
            if kind != UNFILLED:
                naive.apply(kind, *rest)
                fills += kind == FILL
    assert fills > 100


def naive_guest(
    log: MarketLog, ts_ms: int, side: int, price: int, size: int
) -> list[tuple[int, int]]:
    """Fills of a guest order, by standing it in the queue and watching every message."""
    ahead: set[int] = set()
    naive = NaiveQueue()
    got: list[tuple[int, int]] = []
    entered = False
    for time, kind, s, p, n, number in naive_lines(log):
        if not entered and time > ts_ms:
            ahead = {order for order, _ in naive.queues.get((side, price), [])}
            entered = True
        if entered and size:
            behind = p == price and number not in ahead
            hit = s == side and kind == FILL and (p < price or behind)
            wanted = s == side and kind == UNFILLED and p <= price
            meets = s != side and kind == ADD and p + price >= PRICE_SCALE
            if hit or wanted or meets:
                got.append((time, min(n, size)))
                size -= got[-1][1]
        if kind != UNFILLED:
            naive.apply(kind, s, p, n, number)
    return got


def test_a_further_order_fills_behind_those_that_stood_before_it(
    generated: tuple[Session, TrueQueue],
) -> None:
    session, truth = generated
    rng = np.random.default_rng(0)
    filled = 0
    for market in session.markets:
        log = logs_of(truth)[market.ticker]
        times = log.lines[:, 0]
        for _ in range(2 if INTERPRETED else 8):
            ts_ms, side = int(rng.choice(times)), int(rng.integers(2))
            levels = [int(p) for p in log.grid if truth.ahead(market.ticker, ts_ms, side, int(p))]
            if not levels:
                continue
            price = levels[-1 - min(int(rng.integers(2)), len(levels) - 1)]
            size = int(rng.integers(1, 500)) * SIZE_SCALE
            fills = truth.fills(market.ticker, ts_ms, side, price, size)
            expected = naive_guest(log, ts_ms, side, price, size)
            assert list(zip(fills.ts_ms.tolist(), fills.size.tolist(), strict=True)) == expected
            filled += len(expected)
    assert filled > (0 if INTERPRETED else 20)


def hand_made() -> tuple[MarketLog, TrueQueue]:
    """60 and 70 YES contracts at 40 cents, 5 at 39; then a cancel and takers."""
    level = {39: 38, 40: 39, 60: 59}
    lines = [
        (10, OPENING, 0, level[40], 60, 0),
        (10, OPENING, 0, level[39], 5, 1),
        (20, ADD, 0, level[40], 70, 2),
        (30, CANCEL, 0, level[40], 20, 0),
        (40, FILL, 0, level[40], 40, 0),
        (40, FILL, 0, level[40], 30, 2),
        (50, FILL, 0, level[40], 40, 2),
        (50, FILL, 0, level[39], 5, 1),
        (60, UNFILLED, 0, level[39], 7, -1),
        (70, ADD, 1, level[60], 100, 3),
    ]
    scaled = [(t, k, s, at, n * SIZE_SCALE, number) for t, k, s, at, n, number in lines]
    log = MarketLog(grid_prices(((0, PRICE_SCALE, 100),)), np.array(scaled, dtype=np.int64))
    return log, TrueQueue({"M": log})


@pytest.mark.parametrize(
    ("entered", "price", "size", "expected"),
    [
        (10, 40, 50, [(40, 30), (50, 20)]),  # the order of 20 ms came later: its fills are ours
        (10, 40, 1000, [(40, 30), (50, 40), (50, 5), (60, 7), (70, 100)]),
        (20, 40, 1000, [(50, 5), (60, 7), (70, 100)]),  # both orders stand before it
        (20, 39, 1000, [(60, 7)]),
        (60, 40, 30, [(70, 30)]),
        (70, 40, 30, []),
    ],
)
def test_fills_of_a_hand_made_queue(
    entered: int, price: int, size: int, expected: list[tuple[int, int]]
) -> None:
    _, truth = hand_made()
    fills = truth.fills("M", entered, 0, price * 100, size * SIZE_SCALE)
    got = zip(fills.ts_ms.tolist(), fills.size.tolist(), strict=True)
    assert [(t, n // SIZE_SCALE) for t, n in got] == expected


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ([], [(40, 30), (50, 40), (50, 5), (70, 100)]),
        ([(70, CANCEL, 1, 30)], [(40, 30), (50, 40), (50, 5), (70, 70)]),
        ([(70, CANCEL, 1, 30), (70, FILL, 1, 70)], [(40, 30), (50, 40), (50, 5)]),
        ([(71, FILL, 1, 100)], [(40, 30), (50, 40), (50, 5), (70, 100)]),
    ],
)
def test_what_comes_and_goes_within_a_millisecond_is_hidden(
    gone: list[tuple[int, int, int, int]], expected: list[tuple[int, int]]
) -> None:
    """A row of a recording shows the book at the end of its millisecond."""
    log, _ = hand_made()
    ends = [(t, kind, side, 59, n * SIZE_SCALE, 3) for t, kind, side, n in gone]
    lines = np.array([*log.lines.tolist(), *ends], dtype=np.int64)
    truth = TrueQueue({"M": MarketLog(log.grid, lines)})
    fills = truth.fills("M", 10, 0, 40 * 100, 1000 * SIZE_SCALE, hidden=False)
    got = zip(fills.ts_ms.tolist(), fills.size.tolist(), strict=True)
    assert [(t, n // SIZE_SCALE) for t, n in got] == expected


def test_an_unknown_market_has_no_queue() -> None:
    with pytest.raises(SessionNotFoundError, match="'X'"):
        hand_made()[1].ahead("X", 0, 0, 100)


@pytest.fixture(scope="module")
def session() -> Session:
    return generate_session(9)


class TestFigures:
    """A session like the recorded one that docs/generator.md names."""

    def test_activity(self, session: Session) -> None:
        rows = np.array([q.rows for q in session.quality.markets.values()])
        assert 460 <= (rows >= 10).sum() <= 490
        for share, figure in ((50, 57), (75, 62), (90, 203), (95, 458), (100, 2422)):
            assert np.percentile(rows, share) == pytest.approx(figure, rel=0.25)
        assert 40_000 < session.info.deltas < 80_000

    def test_gaps_come_in_bursts(self, session: Session) -> None:
        gaps = []
        for market in session.markets:
            e = session.market_events(market.ticker)
            gaps.append(np.diff(np.unique(e.ts_ms)))
        between = np.concatenate(gaps)
        assert 80 < np.median(between) < 250
        assert np.percentile(between, 99) > 1000 * np.median(between)

    def test_sizes(self, session: Session) -> None:
        sizes = session.events.size[session.events.kind == EventKind.LEVEL] / SIZE_SCALE
        figures = ((10, 20), (25, 200), (50, 766), (75, 2923), (90, 13_500), (95, 60_000))
        for share, figure in figures:
            assert abs(np.log(np.percentile(sizes, share) / figure)) < np.log(2.5)
        assert np.isin(sizes, (100, 200, 500, 1000, 2000, 3000, 5000)).mean() > 0.1

    def test_spreads(self, session: Session) -> None:
        tape = build_tape([session])
        both = (tape.px[:, 0, 0] > 0) & (tape.px[:, 1, 0] > 0)
        spread = tape.payout - tape.px[:, 0, 0] - tape.px[:, 1, 0]
        active = np.zeros(len(spread), dtype=bool)
        for view in tape.views:
            active[view.start : view.stop] = len(view) > 200
        assert np.median(spread[both & active]) == 3
        assert 2.5 < spread[both & active].mean() < 4.5
        assert np.percentile(spread[both & ~active], 90) > 8
        assert 0.03 < 1 - both.mean() < 0.25

    def test_results_are_known_in_time_in_most_markets(self, session: Session) -> None:
        known = [
            m.settlement_known_ms is not None and m.settlement_known_ms <= session.last_message_ms
            for m in session.markets
        ]
        assert 0.7 < np.mean(known) < 0.95
        assert {m.settlement_value for m in session.markets} == {0, PRICE_SCALE}

    def test_deltas_are_at_least_what_was_asked_for(self) -> None:
        deltas = 5_000 if INTERPRETED else 100_000
        found = generate_session(1, markets=50, deltas=deltas).info.deltas
        assert deltas <= found < (2.0 if INTERPRETED else 1.3) * deltas


def test_prices_are_martingales_up_to_settlement() -> None:
    """Neither the first nor the last two-sided mid says on which side of it the result will be."""
    session = generate_session(6, markets=100 if INTERPRETED else 3000, seed=1)
    tape = build_tape([session])
    value = {m.ticker: m.settlement_value for m in session.markets}
    first, last, moved = [], [], []
    for view in tape.views:
        marks = tape.mark2[view.start : view.stop] / (2 * tape.payout)
        result = (value[view.market_ticker] or 0) / PRICE_SCALE
        first.append(result - marks[0])
        last.append(result - marks[-1])
        moved.append(marks[-1] - marks[0])
    for surprises in (first, last, moved):
        x = np.array(surprises)
        assert abs(x.mean()) < 3.0 * x.std() / np.sqrt(len(x)) + 0.005


def test_grids_and_fractions(generated: tuple[Session, TrueQueue]) -> None:
    session, _ = generated
    fine = [m for m in session.markets if m.sub_penny]
    assert 0 < len(fine) < len(session.markets)
    assert all(m.price_ranges == SUB_PENNY_GRID for m in fine)
    grid = grid_prices(SUB_PENNY_GRID)
    np.testing.assert_array_equal(grid, PRICE_SCALE - grid[::-1])
    for market in session.markets:
        e = session.market_events(market.ticker)
        priced = e.price[e.kind != EventKind.SNAPSHOT]
        if market.sub_penny:
            assert np.isin(priced, grid).all()
        else:
            assert (priced % 100 == 0).all()
    assert (session.events.size % SIZE_SCALE != 0).any()
    whole = generate_session(4, markets=3)
    assert (whole.events.size % SIZE_SCALE == 0).all()
    assert not any(m.sub_penny for m in whole.markets)


def test_a_log_that_is_too_short_is_said_so() -> None:
    rng = np.random.default_rng(1)
    plan = plan_market(
        rng, updates=200, start_ms=0, stop_ms=10**7, edge=0.5, sub_penny=False, fractional=False
    )
    for capacity, fits in ((1_500, False), (8_000, True)):
        book = new_book(len(plan.grid), capacity)
        fair = run_market(
            np.random.default_rng(2),
            plan.times,
            plan.grid,
            plan.maker_sizes,
            plan.taker_sizes,
            plan.flow,
            plan.fair,
            book,
        )
        assert (fair >= 0.0) is fits


def test_a_full_book_takes_no_more_orders() -> None:
    rng = np.random.default_rng(1)
    plan = plan_market(
        rng, updates=400, start_ms=0, stop_ms=10**7, edge=0.0, sub_penny=False, fractional=False
    )
    book = new_book(len(plan.grid), 20_000)
    crowded = replace_orders(plan.flow, 10_000.0)
    args = (plan.times, plan.grid, plan.maker_sizes, plan.taker_sizes, crowded, 5000.0, book)
    assert run_market(np.random.default_rng(3), *args) >= 0.0
    assert book.counts[0] <= len(book.live)


def replace_orders(flow: Flow, orders: float) -> Flow:
    return flow._replace(orders=orders)


@pytest.mark.parametrize(("edge", "least"), [(1.0, 4000), (0.5, 1500)])
def test_the_best_policy_earns_the_edge(edge: float, least: float) -> None:
    tape = build_tape([generate_session(3, edge=edge, markets=40 if INTERPRETED else 200)])
    n = len(tape.views)
    simulator = BatchSimulator(tape, n, SimConfig(), seed=0)
    profit = np.full(n, np.nan)
    observations = simulator.reset()
    while np.isnan(profit).any():
        actions = best_edge_policy(observations, edge)
        observations, _, _, finished = simulator.step(actions)
        for k, i in enumerate([] if finished is None else finished.envs):
            if np.isnan(profit[i]):
                assert finished is not None
                result = simulator.episode(finished, k)
                profit[i] = result["equity_cents"] - simulator.config.cash_start
    error = profit.std() / np.sqrt(n)
    assert profit.mean() > 3 * error
    assert profit.mean() + 3 * error > least


def test_the_imbalance_leads_the_mid() -> None:
    tape = build_tape([generate_session(3, edge=1.0, markets=FEW)])
    correlations = []
    for view in tape.views:
        rows = slice(view.start, view.stop)
        sign = np.sign(tape.features[rows, 7])[:-3]
        mark = tape.mark2[rows].astype(np.float64)
        if sign.std() > 0:
            correlations.append(np.corrcoef(sign, (mark[3:] - mark[:-3]))[0, 1])
    assert np.mean(correlations) > 0.4


def test_without_an_edge_the_best_policy_stands_still() -> None:
    observations = np.zeros((2, 52), np.float32)
    observations[:, [0, 1, 3, 7]] = [[0.49, 0.5, 0.495, 0.9], [0.49, 0.5, 0.495, -0.9]]
    assert best_edge_policy(observations, 0.0).tolist() == [0, 0]
    assert best_edge_policy(observations, 1.0).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"markets": 0}, "markets=0"),
        ({"minutes": float("nan")}, "minutes=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"edge": 1.5}, "edge=1.5"),
        ({"sub_penny_share": -0.1}, "sub_penny_share=-0.1"),
        ({"deltas": 0}, "deltas=0"),
        ({"deltas": 2_000_000, "markets": 1}, "ask for more markets"),
        ({"markets": True}, "markets=True"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate_session(1, **arguments)  # type: ignore[arg-type]  # wrong values are the point
