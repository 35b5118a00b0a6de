"""Messages on what happens in a market: deltas, trades, changes of its life."""

from __future__ import annotations

from kalshi_sim.live.exchange.markets import Market, structure
from kalshi_sim.live.exchange.schedule import BookFrame, Change
from kalshi_sim.live.exchange.wire import (
    BOOK_SIDES,
    SIDE_NAMES,
    Message,
    bands,
    contracts,
    dollars,
    iso,
    name_of,
    shown_price,
)
from kalshi_sim.session import FeeUpdate
from kalshi_sim.units import (
    MS_PER_SECOND,
    MULTIPLIER_SCALE,
    PRICE_SCALE,
    format_decimal,
    mirror,
)


def delta_message(market: Market, what: BookFrame, use_yes_price: bool) -> Message:
    """The message of an `orderbook_delta`.

    Args:
        market: whose book changes.
        what: the change.
        use_yes_price: whether NO bids are priced in YES terms.
    """
    message: Message = {
        "market_ticker": market.ticker,
        "market_id": market.market_id,
        "price_dollars": shown_price(what.side, what.price, use_yes_price=use_yes_price),
        "delta_fp": contracts(what.size),
        "side": SIDE_NAMES[what.side],
    }
    return message | times(what)


def trade_message(market: Market, what: BookFrame, number: int) -> Message:
    """The message of a `trade`.

    Args:
        market: in which.
        what: the resting side, its price and the contracts taken.
        number: it has among all trades.
    """
    taker = 1 - what.side
    yes = what.price if what.side == 0 else mirror(what.price, PRICE_SCALE)
    message: Message = {
        "trade_id": trade_name(market, number),
        "market_ticker": market.ticker,
        "yes_price_dollars": dollars(yes),
        "no_price_dollars": dollars(mirror(yes, PRICE_SCALE)),
        "count_fp": contracts(what.size),
        "taker_side": SIDE_NAMES[taker],
        "taker_outcome_side": SIDE_NAMES[taker],
        "taker_book_side": BOOK_SIDES[taker],
        "is_block_trade": False,
    }
    stated = times(what)
    if "ts_ms" in stated:
        stated["ts"] = stated["ts_ms"] // MS_PER_SECOND
    return message | stated


def trade_name(market: Market, number: int) -> str:
    """The id of a trade.

    Args:
        market: in which.
        number: it has among all trades.
    """
    return name_of("trade", f"{market.ticker}/{number}")


def times(what: BookFrame) -> Message:
    """The times that a recorded frame states, as exactly as it did."""
    if what.ts_ms is None:
        return {}
    if what.whole_second:
        return {"ts": what.ts_ms // MS_PER_SECOND}
    return {"ts": iso(what.ts_ms), "ts_ms": what.ts_ms}


def life_message(market: Market, what: Change, ms: int) -> Message:
    """The message of a `market_lifecycle_v2`.

    Args:
        market: whose life changes.
        what: the change.
        ms: when, in the exchange's time.
    """
    message: Message = {"market_ticker": market.ticker, "event_type": what.kind}
    if what.kind == "created":
        return {**message, **_created(market)}
    if what.close_ms is not None:
        message["close_ts"] = _seconds(what.close_ms)
    if what.ranges is not None:
        message["price_level_structure"] = structure(what.ranges)
        message["price_ranges"] = bands(what.ranges)
    if what.value is not None:
        message["result"] = {0: "no", PRICE_SCALE: "yes"}.get(what.value, "scalar")
        message["settlement_value"] = dollars(what.value)
        message["determination_ts"] = _seconds(ms)
    if what.kind == "settled":
        message["settled_ts"] = _seconds(ms)
    return message


def _created(market: Market) -> Message:
    """What the exchange says of a market when it has made it."""
    close = {} if market.close_ms is None else {"close_ts": _seconds(market.close_ms)}
    known: Message = {
        "name": market.ticker,
        "title": market.ticker,
        "event_ticker": market.info.event,
    }
    if market.close_ms is not None:
        known["expected_expiration_ts"] = _seconds(market.close_ms)
    return {
        "exchange_index": market.exchange_index,
        "open_ts": _seconds(market.open_ms),
        **close,
        "additional_metadata": known,
        "price_level_structure": structure(market.ranges),
        "price_ranges": bands(market.ranges),
    }


def event_message(market: Market) -> Message:
    """The message of an `event_lifecycle`: a new event.

    Args:
        market: its first.
    """
    return {
        "event_ticker": market.info.event,
        "exchange_index": market.exchange_index,
        "title": market.info.event,
        "subtitle": "",
        "collateral_return_type": "",
        "series_ticker": market.info.series,
    }


def fee_message(market: Market, fees: FeeUpdate) -> Message:
    """The message of an `event_fee_update`.

    Args:
        market: one of the event's.
        fees: which hold from now on.
    """
    taker, maker = fees.taker_multiplier, fees.maker_multiplier
    message: Message = {"event_ticker": market.info.event}
    if taker is None:
        return {**message, "fee_type_override": None, "fee_multiplier_override": None}
    return {
        **message,
        "fee_type_override": "quadratic_with_maker_fees" if maker == taker else "quadratic",
        "fee_multiplier_override": float(format_decimal(taker, MULTIPLIER_SCALE)),
    }


def _seconds(ms: int) -> int | float:
    """Unix seconds, with decimals where they are needed."""
    whole, rest = divmod(ms, MS_PER_SECOND)
    return whole if rest == 0 else ms / MS_PER_SECOND
