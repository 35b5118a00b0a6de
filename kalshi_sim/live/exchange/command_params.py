"""What the commands of a WebSocket client may say: decoded, checked, refused with a code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from kalshi_sim.live.exchange.wire import Message
from kalshi_sim.live.interface import (
    COMMUNICATIONS,
    ERROR_TEXTS,
    INDEX_VALUES,
    INDEX_VALUES_5HZ,
    ORDERBOOK,
    PYTH_VALUES,
    TICKER,
    Channel,
    ErrorCode,
)

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.markets import Market

_ONLY_ON: Final = {
    "use_yes_price": (ORDERBOOK, bool),
    "send_initial_snapshot": (TICKER, bool),
    "skip_ticker_ack": (None, bool),
    "market_id": (TICKER, str),
    "market_ids": (TICKER, list),
    "user_filter": (COMMUNICATIONS, str),
}
"""Parameters of `subscribe`: the channel that takes them (None: any), and their type."""


class RefusedError(Exception):
    """A command cannot be done; says why with a code."""

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        """Make the refusal.

        Args:
            code: of the interface.
            detail: what is wrong, if the code's own words do not say it.
        """
        text = ERROR_TEXTS.get(code, code.name.replace("_", " ").capitalize())
        super().__init__(f"{text}: {detail}" if detail else text)
        self.code = code


def decoded(data: str | bytes) -> Message:
    """A command with an id (0: none), a name and parameters.

    Raises:
        RefusedError: it is none.
    """
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RefusedError(ErrorCode.PROCESS_MESSAGE) from None
    if not isinstance(found, dict):
        raise RefusedError(ErrorCode.PROCESS_MESSAGE)
    number = found.get("id", 0)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise RefusedError(ErrorCode.PROCESS_MESSAGE, "id must be a whole number")
    return {"id": number, "cmd": found.get("cmd"), "params": found.get("params")}


def sids_of(params: Message) -> list[int]:
    """The subscriptions that a command names.

    Raises:
        RefusedError: they are no whole numbers.
    """
    sids = params.get("sids", [params["sid"]] if "sid" in params else [])
    if not isinstance(sids, list) or not all(type(sid) is int for sid in sids):
        raise RefusedError(ErrorCode.INVALID_PARAMETER, f"sids={sids!r}")
    return sids


def check_channel(channel: Channel, chosen: list[Channel], params: Message) -> None:
    """Refuse parameters that a channel does not take, or that it lacks.

    Args:
        channel: one of the channels subscribed to.
        chosen: all of them.
        params: of the command.

    Raises:
        RefusedError: a parameter is wrong or missing.
    """
    for name, (only, kind) in _ONLY_ON.items():
        if name not in params:
            continue
        if only is not None and only not in chosen:
            raise RefusedError(ErrorCode.INVALID_PARAMETER, f"{name} is for {only.name}")
        if not isinstance(params[name], kind):
            raise RefusedError(ErrorCode.INVALID_PARAMETER, f"{name}={params[name]!r}")
    if channel in (INDEX_VALUES, INDEX_VALUES_5HZ) and not params.get("index_ids"):
        raise RefusedError(ErrorCode.INDEX_IDS, "index_ids required")
    if channel == PYTH_VALUES and not params.get("underlying_tickers"):
        raise RefusedError(ErrorCode.UNDERLYINGS, "underlying_tickers required")
    if channel == COMMUNICATIONS:
        _check_shards(params)


def tickers_of(params: Message, markets: Mapping[str, Market]) -> list[str] | None:
    """The markets that a command names; None: it names none.

    Args:
        params: of the command.
        markets: those of the exchange, by ticker.

    Raises:
        RefusedError: it names them twice, or some that are not there.
    """
    one, many = params.get("market_ticker"), params.get("market_tickers")
    if one is not None and many is not None:
        raise RefusedError(ErrorCode.INVALID_PARAMETER, "either market_ticker or market_tickers")
    ids = params.get("market_ids") or ([params["market_id"]] if "market_id" in params else [])
    if ids:
        by_id = {market.market_id: ticker for ticker, market in markets.items()}
        many = [by_id.get(name, str(name)) for name in ids] + (many or [])
    found = many if one is None else [one]
    if not found:
        return None
    if not isinstance(found, list):
        raise RefusedError(ErrorCode.INVALID_PARAMETER, f"market_tickers={found!r}")
    for ticker in found:
        if not isinstance(ticker, str) or ticker not in markets:
            raise RefusedError(ErrorCode.INVALID_PARAMETER, f"no market {ticker!r}")
    return list(dict.fromkeys(found))


def _check_shards(params: Message) -> None:
    """Refuse half of a shard, or one that cannot be."""
    factor, key = params.get("shard_factor"), params.get("shard_key")
    if factor is None and key is None:
        return
    if factor is None:
        raise RefusedError(ErrorCode.SHARD_FACTOR_REQUIRED)
    if key is None:
        raise RefusedError(ErrorCode.SHARD_KEY_REQUIRED)
    if type(factor) is not int or factor < 1:
        raise RefusedError(ErrorCode.SHARD_FACTOR_INVALID, str(factor))
    if type(key) is not int or not 0 <= key < factor:
        raise RefusedError(ErrorCode.SHARD_KEY_INVALID, str(key))
