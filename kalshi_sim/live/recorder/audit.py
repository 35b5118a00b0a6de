"""Whether the recorded books are the exchange's: books from frames against REST, now and then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

_SIDES: Final = ("yes", "no")
_PLACES: Final = 4
Levels = dict[int, int]
"""Price in 1/10 000 dollar -> contracts in hundredths."""


class _Snapshot(msgspec.Struct):
    market_ticker: str
    yes_dollars_fp: list[tuple[str, str]] | None = None
    no_dollars_fp: list[tuple[str, str]] | None = None


class _Delta(msgspec.Struct):
    market_ticker: str
    price_dollars: str
    delta_fp: str
    side: str


class _SnapshotFrame(msgspec.Struct):
    msg: _Snapshot


class _DeltaFrame(msgspec.Struct):
    msg: _Delta


_SNAPSHOT: Final = msgspec.json.Decoder(_SnapshotFrame)
_DELTA: Final = msgspec.json.Decoder(_DeltaFrame)


def fixed(text: str, places: int) -> int:
    """A decimal text as a whole number of its last place.

    Args:
        text: the number.
        places: after the point.

    Returns:
        The number times 10 ** places.

    Raises:
        ValueError: it is no decimal, or has more places.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction) > places and fraction[places:].strip("0"):
        raise ValueError(f"{text}: more than {places} places")
    digits: int = int(whole.lstrip("-") or "0") * 10**places + int(
        (fraction[:places] or "0").ljust(places, "0")
    )
    return -digits if text.startswith("-") else digits


@dataclass
class Audit:
    """What a comparison with REST came to."""

    compared: int = 0
    agreed: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Books that agree, of those compared; None if none was."""
        return self.agreed / self.compared if self.compared else None


class Books:
    """The books that frames make; while one is watched, all it has been is kept."""

    def __init__(self) -> None:
        """Know none."""
        self._books: dict[str, tuple[Levels, Levels]] = {}
        self._watched: dict[str, list[tuple[Levels, Levels]]] = {}

    def take(self, kind: str, frame: bytes) -> None:
        """Follow a frame; one that cannot be read makes its book unknown.

        Args:
            kind: its type.
            frame: as received.
        """
        if kind == "orderbook_delta":
            self._delta(_DELTA.decode(frame).msg)
        elif kind == "orderbook_snapshot":
            message = _SNAPSHOT.decode(frame).msg
            book = (_levels(message.yes_dollars_fp), _levels(message.no_dollars_fp))
            self._books[message.market_ticker] = book
            self._keep(message.market_ticker)

    def _delta(self, message: _Delta) -> None:
        book = self._books.get(message.market_ticker)
        if book is None:
            return
        levels = book[message.side == "no"]
        price = fixed(message.price_dollars, _PLACES)
        size = levels.get(price, 0) + fixed(message.delta_fp, 2)
        if size > 0:
            levels[price] = size
        else:
            levels.pop(price, None)
        self._keep(message.market_ticker)

    def _keep(self, ticker: str) -> None:
        if ticker in self._watched:
            yes, no = self._books[ticker]
            self._watched[ticker].append((dict(yes), dict(no)))

    def forget(self, ticker: str) -> None:
        """A market's book is not known.

        Args:
            ticker: of the market.
        """
        self._books.pop(ticker, None)

    def watch(self, tickers: list[str]) -> None:
        """Keep what these books are from now on.

        Args:
            tickers: of markets.
        """
        self._watched = {ticker: [] for ticker in tickers if ticker in self._books}
        for ticker in self._watched:
            self._keep(ticker)

    def compare(self, polled: list[dict[str, Any]], audit: Audit) -> None:
        """Compare what REST says with all that each watched book has been, and watch no more.

        Args:
            polled: books of GET /markets/orderbooks.
            audit: counts are added to it.
        """
        for poll in polled:
            ticker = str(poll.get("ticker"))
            kept = self._watched.get(ticker)
            if not kept or ticker not in self._books:
                continue
            book = poll.get("orderbook_fp") or {}
            known = tuple(_levels(book.get(f"{side}_dollars")) for side in _SIDES)
            audit.compared += 1
            if known in kept:
                audit.agreed += 1
            else:
                audit.differing.append(ticker)
        self._watched = {}


def _levels(levels: list[Any] | None) -> Levels:
    return {fixed(str(p), _PLACES): fixed(str(q), 2) for p, q in levels or ()}
