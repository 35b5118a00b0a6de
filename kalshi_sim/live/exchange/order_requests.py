"""The bodies of orders that clients send: what may stand in them, refused with a code if wrong."""

from __future__ import annotations

from typing import Final

import msgspec

from kalshi_sim.grid import grid_prices
from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.markets import Market
from kalshi_sim.live.interface import (
    MAX_SUBACCOUNT,
    SELF_TRADE_PREVENTION,
    SIDES,
    TIMES_IN_FORCE,
)
from kalshi_sim.units import PRICE_SCALE, mirror, parse_contracts, parse_dollars

FOK, GTC, IOC = TIMES_IN_FORCE
LARGEST: Final = 10**12
"""In 1/100 contract."""


class OrderRequest(msgspec.Struct):
    """The body of an order; keys that are not known are passed over, as the exchange does."""

    ticker: str
    side: str
    count: str
    price: str
    time_in_force: str
    self_trade_prevention_type: str
    client_order_id: str = ""
    expiration_time: int | None = None
    post_only: bool = False
    cancel_order_on_pause: bool = False
    reduce_only: bool = False
    subaccount: int = 0
    order_group_id: str = ""
    exchange_index: int = 0


def check_words(wanted: OrderRequest) -> None:
    """Refuse words that an order may not use, or not together.

    Raises:
        RestError: a word is wrong.
    """
    for name, allowed in (
        ("side", SIDES),
        ("time_in_force", TIMES_IN_FORCE),
        ("self_trade_prevention_type", SELF_TRADE_PREVENTION),
    ):
        if getattr(wanted, name) not in allowed:
            raise bad_request("invalid_parameters", f"{name}: one of {', '.join(allowed)}")
    if not 0 <= wanted.subaccount <= MAX_SUBACCOUNT:
        raise bad_request("invalid_parameters", f"subaccount: 0 to {MAX_SUBACCOUNT}")
    if wanted.exchange_index not in (-1, 0):
        raise bad_request("invalid_parameters", "exchange_index: there is shard 0 alone")
    if wanted.expiration_time is not None and wanted.time_in_force != GTC:
        raise bad_request("invalid_parameters", f"expiration_time goes with {GTC} alone")
    if wanted.reduce_only and wanted.time_in_force != IOC:
        raise bad_request("invalid_parameters", f"reduce_only goes with {IOC} alone")
    if wanted.post_only and wanted.time_in_force != GTC:
        raise bad_request("invalid_parameters", f"post_only goes with {GTC} alone")


def side_price(market: Market, side: int, text: str) -> int:
    """A price of the YES leg, as that of the side whose contracts are bought.

    Args:
        market: on whose grid it must lie.
        side: 0 YES, 1 NO.
        text: dollars.

    Returns:
        The price in 1/100 cent.

    Raises:
        RestError: it is not on the grid.
    """
    try:
        price = parse_dollars(text)
    except ValueError:
        price = 0
    if price not in grid_prices(market.ranges):
        raise bad_request("invalid_price", f"{text[:30]!r} is not on the market's grid")
    return price if side == 0 else mirror(price, PRICE_SCALE)


def bad_request(code: str, details: str) -> RestError:
    """The refusal of an order.

    Args:
        code: of the interface.
        details: what is wrong.
    """
    return RestError(400, code, code.replace("_", " ").lower(), details)


def size_of(text: str, name: str, least: int = 1) -> int:
    """A size in 1/100 contract.

    Args:
        text: contracts.
        name: of the parameter.
        least: the smallest allowed.

    Raises:
        RestError: it is none, or out of range.
    """
    try:
        size = parse_contracts(text)
    except ValueError:
        size = -1
    if not least <= size <= LARGEST:
        raise bad_request("invalid_order_size", f"{name}={text[:30]!r}")
    return size
