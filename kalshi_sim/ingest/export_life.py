"""A market's life as frames of the wire, from which import folds the same life again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import msgspec

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.decoding import MALFORMED, FrameDecoder
from kalshi_sim.ingest.lifecycle import FEE_UPDATE, fold_market
from kalshi_sim.session import NO_TIME, FeeUpdate, MarketInfo, PriceRanges
from kalshi_sim.units import MULTIPLIER_SCALE, PRICE_SCALE, format_decimal

_WITHOUT_MAKER_FEES: Final = "quadratic"
_WITH_MAKER_FEES: Final = "quadratic_with_maker_fees"
_CHANGES: Final = {
    "close_updates": "close times",
    "grid_updates": "changes of the grid",
    "fee_updates": "changes of the fees",
    "pauses": "pauses",
}
"""What of a market the frames report, and its name in messages."""


def at_start(market: MarketInfo) -> MarketInfo:
    """The market without its changes, as a file of markets states it."""
    return replace(
        market,
        price_ranges=market.starting_ranges,
        first_price_ranges=None,
        close_updates=(),
        grid_updates=(),
        fee_updates=(),
        pauses=(),
    )


def life_frames(market: MarketInfo, instead: str) -> list[bytes]:
    """Frames that report each change of a market, those without a time first.

    Args:
        market: its ticker and changes.
        instead: what to do where frames cannot express them, for the error.

    Returns:
        JSON lines.

    Raises:
        ConfigError: import would not read the same changes from any frames.
    """
    frames = sorted(
        (*_closes(market), *_grids(market), *_fees(market, instead), *_pauses(market)),
        key=lambda frame: frame[0],  # NO_TIME is the lowest number
    )
    lines = [_line(market.ticker, *frame) for frame in frames]
    _check(market, lines, instead)
    return lines


def has_time(line: bytes) -> bool:
    """Whether one of these frames says when its change was known."""
    return b'"ts_ms":' in line


_Frame = tuple[int, dict[str, Any]]
"""(time it was known, NO_TIME if it has none; the message without ticker and time)."""


def _closes(market: MarketInfo) -> Iterator[_Frame]:
    for known_ms, close_ms in market.close_updates:
        yield known_ms, {"event_type": "close_date_updated", "close_ts": close_ms}


def _grids(market: MarketInfo) -> Iterator[_Frame]:
    for update in market.grid_updates:
        content = {"price_ranges": _bands(update.price_ranges)}
        yield update.known_ms, {"event_type": "price_level_structure_updated", **content}


def _bands(ranges: PriceRanges) -> list[dict[str, str]]:
    names = ("start", "end", "step")
    return [
        dict(zip(names, (format_decimal(n, PRICE_SCALE) for n in band), strict=True))
        for band in ranges
    ]


def _pauses(market: MarketInfo) -> Iterator[_Frame]:
    for pause in market.pauses:
        yield pause.start_ms, {"event_type": "deactivated"}
        if pause.end_ms is not None:
            yield pause.end_ms, {"event_type": "activated"}


def _fees(market: MarketInfo, instead: str) -> Iterator[_Frame]:
    for before, update in pairwise((FeeUpdate(NO_TIME), *market.fee_updates)):
        taker, maker = update.taker_multiplier, update.maker_multiplier
        if taker is None and maker is None:
            fee_type = None
        elif taker is not None and maker == before.maker_multiplier:
            fee_type = _WITHOUT_MAKER_FEES
        elif taker is not None and maker == taker:
            fee_type = _WITH_MAKER_FEES
        else:
            raise ConfigError(
                f"{market.ticker}: no frame can change the fees to the taker multiplier "
                f"{_decimal(taker)} and the maker multiplier {_decimal(maker)} where the maker's "
                f"was {_decimal(before.maker_multiplier)}; {instead}"
            )
        multiplier = None if taker is None else msgspec.Raw(_decimal(taker).encode())
        yield (
            update.known_ms,
            {"fee_type_override": fee_type, "fee_multiplier_override": multiplier},
        )


def _decimal(multiplier: int | None) -> str:
    return "none" if multiplier is None else format_decimal(multiplier, MULTIPLIER_SCALE)


def _line(ticker: str, known_ms: int, content: dict[str, Any]) -> bytes:
    message = {"market_ticker": ticker, **content}
    if known_ms != NO_TIME:
        message["ts_ms"] = known_ms
    kind = "market_lifecycle_v2" if "event_type" in content else FEE_UPDATE
    return msgspec.json.encode({"type": kind, "msg": message})


def _check(market: MarketInfo, lines: list[bytes], instead: str) -> None:
    """Whether import folds these lines to the market's changes.

    Raises:
        ConfigError: it does not, or refuses a line.
    """
    for line in lines:
        try:
            FrameDecoder().decode(line)
        except MALFORMED as error:
            raise ConfigError(
                f"{market.ticker}: captures cannot express {line.decode()}: {error}; {instead}"
            ) from error
    folded, _ = fold_market(at_start(market), FrameDecoder().decode(b"\n".join(lines)).lifecycles)
    for name, called in _CHANGES.items():
        if getattr(folded, name) != getattr(market, name):
            raise ConfigError(
                f"{market.ticker}: captures cannot express its {called} "
                f"{getattr(market, name)}, as they are not in order, or one has no time; {instead}"
            )
