"""A live book is unknown after a missed frame, until the market's next snapshot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kalshi_sim import LiveMarket
from kalshi_sim.errors import DataError
from kalshi_sim.session import MarketInfo

T0 = 1_773_864_000_000
MARKET = "KXHAND-26-A"


def frame(kind: str, seq: int | None, sid: int | None = 1, **message: Any) -> str:
    envelope: dict[str, Any] = {"type": kind, "sid": sid, "seq": seq, "msg": message}
    return json.dumps({k: v for k, v in envelope.items() if v is not None and v != {}})


def snapshot(seq: int | None, sid: int | None = 1, ticker: str = MARKET) -> str:
    levels = {"yes_dollars_fp": [["0.4000", "100.00"]], "no_dollars_fp": [["0.5500", "100.00"]]}
    return frame("orderbook_snapshot", seq, sid, market_ticker=ticker, **levels)


def delta(
    seq: int | None, ms: int, sid: int | None = 1, ticker: str = MARKET, size: str = "5.00"
) -> str:
    told = {"price_dollars": "0.4000", "delta_fp": size, "side": "yes", "ts_ms": T0 + ms}
    return frame("orderbook_delta", seq, sid, market_ticker=ticker, **told)


def followed(*frames: str, whole_subscription: bool = True) -> tuple[LiveMarket, list[int]]:
    """The market after a snapshot and a delta (numbers 1 and 2) and the frames; best YES sizes."""
    market = LiveMarket(MarketInfo(MARKET), whole_subscription=whole_subscription)
    for line in (snapshot(1), delta(2, 10), *frames):
        market.feed_frame(line, recv_ms=T0)
    market.finish()
    return market, market.qty[:, 0, 0].tolist()


BROKEN: dict[str, tuple[list[str], str]] = {
    "a hole": ([], "missing"),
    "a hole before another market's frame": ([delta(5, 15, ticker="KXOTHER-26-B")], "missing"),
    "a restart told by another market": ([snapshot(1, ticker="KXOTHER-26-B")], "came again"),
    "unsubscribed": ([frame("unsubscribed", 3)], "ended"),
    "unsubscribed without a sid": ([frame("unsubscribed", None, None)], "ended"),
    "a channel error": ([frame("error", None, None, code=10, msg="channel error")], "ended"),
    "an overflow": ([frame("error", 3, code=25, msg="buffer overflow")], "ended"),
    "dropped": ([frame("ok", 3, market_tickers=["KXOTHER-26-B"])], "no longer lists"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_book_is_unknown_until_the_next_snapshot(name: str) -> None:
    frames, reason = BROKEN[name]
    seq = 9 if name.startswith("a hole") else 4
    market, sizes = followed(*frames, delta(seq, 20), snapshot(seq + 1), delta(seq + 2, 30))
    assert sizes == [100, 105, 100, 105]
    assert market.ts_ms[-1] == T0 + 30
    assert any(reason in said for said in market.noticed)


HARMLESS: dict[str, str] = {
    "another market's frame": delta(3, 15, ticker="KXOTHER-26-B"),
    "an ok that lists the market": frame("ok", 3, market_tickers=[MARKET, "KXOTHER-26-B"]),
    "an error that ends nothing": frame("error", 3, code=6, msg="already subscribed"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_frames_in_order_keep_the_book(name: str) -> None:
    market, sizes = followed(HARMLESS[name], delta(4, 20))
    assert sizes == [100, 105, 110]
    assert not market.noticed


@pytest.mark.parametrize(
    "line",
    [
        delta(7, 15, sid=2, ticker="KXOTHER-26-B"),
        frame("unsubscribed", 7, 2),
        frame("error", 7, 2, code=25, msg="buffer overflow"),
        frame("ok", 7, 2, market_tickers=["KXOTHER-26-B"]),
    ],
)
def test_another_subscription_ends_nothing(line: str) -> None:
    market, sizes = followed(line, delta(3, 20))
    assert sizes == [100, 105, 110]
    assert not market.noticed


def test_frames_of_the_market_on_another_subscription_are_passed_over_and_counted() -> None:
    market, sizes = followed(delta(1, 15, sid=2), delta(3, 20))
    assert sizes == [100, 105, 110]
    assert sum(market.noticed.values()) == 1


@pytest.mark.parametrize("line", ["{", delta(3, 20, size="7" * 25)])
def test_a_refused_frame_makes_the_book_unknown(line: str) -> None:
    market = LiveMarket(MarketInfo(MARKET))
    market.feed_frame(snapshot(1), recv_ms=T0)
    with pytest.raises(DataError, match=MARKET):
        market.feed_frame(line)
    market.feed_frame(delta(None, 30))
    market.finish()
    assert market.qty[:, 0, 0].tolist() == [100]
    assert market.noticed == {"a frame was refused": 1}


def test_frames_of_one_market_alone_have_holes_by_nature() -> None:
    market, sizes = followed(delta(9, 20), whole_subscription=False)
    assert sizes == [100, 105, 110]
    assert not market.noticed
    market, sizes = followed(delta(1, 20), whole_subscription=False)
    assert sizes == [100, 105]
    assert any("came again" in said for said in market.noticed)


def test_frames_without_numbers_are_applied() -> None:
    market, sizes = followed(delta(None, 20), delta(None, 30, sid=None))
    assert sizes == [100, 105, 110, 115]
    assert not market.noticed
