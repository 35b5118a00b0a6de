"""Limits hold whatever a policy wants; what is not known is not traded upon."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.segments import frame_line
from kalshi_sim.live.following import Cut, Following
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.policies import BASELINES
from kalshi_train.trading.limits import Limits
from kalshi_train.trading.log import DecisionLog, read_log
from kalshi_train.trading.trader import Trader

TICKER = "KXONE-26-A"
OTHER = "KXONE-26-B"
FIRST_MS = 1_767_225_600_000
SECOND_NS = 1_000_000_000


class Feed:
    """Frames of one subscription, a second apart."""

    def __init__(self) -> None:
        self.seq = 0
        self.ms = FIRST_MS

    def line(self, kind: str, message: dict[str, Any], ms: int | None = None) -> bytes:
        self.seq += 1
        self.ms = self.ms + 1000 if ms is None else ms
        frame = {"type": kind, "sid": 1, "seq": self.seq, "msg": message}
        return frame_line(self.ms * 1_000_000, 0, 1, json.dumps(frame).encode())

    def book(self, yes: int, ticker: str = TICKER, no: int | None = None) -> bytes:
        """A snapshot: bids of 1000 contracts, in cents; a spread of one cent if `no` is omitted."""
        no = 99 - yes if no is None else no
        sides = {"yes_dollars_fp": yes, "no_dollars_fp": no}
        levels = {side: [[f"{price / 100:.4f}", "1000.00"]] for side, price in sides.items()}
        return self.line("orderbook_snapshot", {"market_ticker": ticker, **levels})

    def change(self, price: int, size: int, ms: int | None = None) -> bytes:
        ms = self.ms + 1000 if ms is None else ms
        message = {
            "market_ticker": TICKER,
            "price_dollars": f"{price / 100:.4f}",
            "delta_fp": f"{size}.00",
            "side": "yes",
            "ts_ms": ms,
        }
        return self.line("orderbook_delta", message, ms)


def run(
    folder: Path,
    lines: Sequence[bytes],
    limits: Limits,
    policy: str = "always-buy",
    between: Callable[[Trader, int], None] = lambda trader, nth: None,
) -> tuple[Trader, list[dict[str, Any]]]:
    """A run over lines, a second of the clock each; and its log."""
    log = DecisionLog(folder)
    now = [0]
    config = BASELINES[policy].config(SimConfig())
    trader = Trader(
        Following([TICKER, OTHER], replay=False),
        BASELINES[policy],
        config,
        ("through", "queue", "touch"),
        limits,
        log,
        now_ns=lambda: now[0],
    )
    for nth, line in enumerate(lines):
        now[0] += SECOND_NS
        trader.take(line)
        trader.close_rows(0)
        trader.decide()
        between(trader, nth)
    trader.finish()
    log.close()
    return trader, list(read_log(folder))


def orders(log: list[dict[str, Any]]) -> list[int]:
    return [line["r"] for line in log if line["t"] == "row" and line["a"] != 0]


def test_a_position_stays_within_its_limit(tmp_path: Path) -> None:
    feed = Feed()
    lines = [feed.book(40) for _ in range(8)]
    trader, log = run(tmp_path / "free", lines, Limits())
    assert trader.state(trader.markets[TICKER])["position"] == 70
    feed = Feed()
    lines = [feed.book(40) for _ in range(8)]
    trader, log = run(tmp_path / "run", lines, Limits(position_limit=25))
    assert trader.state(trader.markets[TICKER])["position"] == 20
    assert orders(log) == [0, 1]
    assert trader.markets[TICKER].blocked["position limit"] == 6
    assert {line["why"] for line in log if "wanted" in line} == {"position limit"}


def test_no_more_orders_than_in_a_minute_are_allowed(tmp_path: Path) -> None:
    feed = Feed()
    lines = [feed.book(40) for _ in range(70)]
    _, log = run(tmp_path / "run", lines, Limits(orders_per_minute=3))
    assert orders(log) == [0, 1, 2, 60, 61, 62]


def test_a_market_that_lost_is_traded_no_further(tmp_path: Path) -> None:
    feed = Feed()
    lines = [feed.book(40), feed.book(40), feed.book(20), feed.book(20), feed.book(20)]
    trader, log = run(tmp_path / "run", lines, Limits(market_loss=150))
    assert orders(log) == [0, 1]
    assert "lost" in str(trader.markets[TICKER].halted)
    assert trader.stopping == "the run ends"
    assert [line["r"] for line in log if line["t"] == "cancel"][:1] == [2]


def test_a_loss_in_all_ends_the_run(tmp_path: Path) -> None:
    feed = Feed()
    lines = []
    for price in (40, 40, 20, 20, 20):
        lines += [feed.book(price), feed.book(price, OTHER)]
    trader, log = run(tmp_path / "run", lines, Limits(total_loss=300))
    assert "in all" in str(trader.stopping)
    payout = trader.following.payout
    assert payout is not None
    lost2 = trader.markets[TICKER].loss2 + trader.markets[OTHER].loss2
    assert lost2 >= 300 * 2 * money_per_cent(payout)
    assert log[-1]["why"] == trader.stopping
    last = {line["m"]: line["a"] for line in log if line["t"] == "row"}
    assert set(last.values()) == {0}


def test_orders_are_taken_back_where_the_book_is_unknown(tmp_path: Path) -> None:
    feed = Feed()
    lines = [feed.book(40), feed.change(40, 5), feed.change(40, 5)]
    feed.seq += 1
    lines += [feed.change(40, 5), feed.change(40, 5), feed.book(40), feed.change(40, 5)]
    _, log = run(tmp_path / "run", lines, Limits(), "join-both-sides")
    cancels = [line for line in log if line["t"] == "cancel"]
    rows = {line["r"]: line for line in log if line["t"] == "row"}
    assert cancels[0]["why"] == "the book is unknown"
    assert cancels[0]["r"] == 3
    assert rows[3]["ts"] - rows[2]["ts"] == 3000  # nothing was decided in the gap
    sizes = [rows[row]["s"][1][10:12] for row in (2, 3)]
    assert sizes == [[10, 10], [0, 0]]


def test_orders_are_taken_back_where_no_frame_comes(tmp_path: Path) -> None:
    feed = Feed()
    lines = [feed.book(40) for _ in range(5)]

    def silent(trader: Trader, nth: int) -> None:
        if nth == 2:
            trader.stale()

    _, log = run(tmp_path / "run", lines, Limits(), "join-both-sides", silent)
    cancels = [(line["r"], line["why"]) for line in log if line["t"] == "cancel"]
    assert cancels[0] == (3, "no frame came")


def test_a_late_frame_belongs_to_the_next_row(tmp_path: Path) -> None:
    feed = Feed()
    following = Following([TICKER], replay=False)
    following.take(feed.book(40))
    following.take(feed.change(40, 5, FIRST_MS + 5_000))
    assert following.close_rows([TICKER]) == [TICKER]
    assert following.cuts == []
    following.take(feed.change(40, 5, FIRST_MS + 5_000))
    assert following.cuts == [Cut(TICKER, "late", 0, 1, FIRST_MS + 5_001)]
    assert following.finish() == [TICKER]
    assert following.markets[TICKER].ts_ms.tolist()[-2:] == [FIRST_MS + 5_000, FIRST_MS + 5_001]


def test_a_frame_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    feed = Feed()
    following = Following([TICKER], replay=False)
    following.take(feed.book(40))
    line = feed.change(40, 5)
    following.take(line)
    following.take(line)
    following.finish()
    assert (following.repeated, following.cuts) == (1, [])
    assert following.markets[TICKER].qty[-1, 0, 0] == 1005


@pytest.mark.parametrize(
    ("name", "value"),
    [("orders_per_minute", 0), ("market_loss", 0), ("stale_after", 0.0), ("total_loss", -1)],
)
def test_a_limit_that_cannot_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})
