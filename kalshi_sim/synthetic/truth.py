"""The truth about generated markets: who stood where in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kalshi_sim.errors import SessionNotFoundError
from kalshi_sim.session import Int64Array
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    FILL,
    LOG_KIND,
    LOG_LEVEL,
    LOG_NUMBER,
    LOG_SIDE,
    LOG_SIZE,
    LOG_TIME,
    OPENING,
    UNFILLED,
)
from kalshi_sim.units import PRICE_SCALE


@dataclass(frozen=True, eq=False)
class MarketLog:
    """Every change of one generated market's book.

    grid: int64 [levels] prices in 1/100 cent, ascending, the same for both sides. lines: int64
    [n, 6], columns `LOG_*` of `kalshi_sim.synthetic.queue_book`, in order.
    """

    grid: Int64Array
    lines: Int64Array


class TrueFills(NamedTuple):
    """What an order would have got: times in ms and 1/100 contract at each, both int64 [n]."""

    ts_ms: Int64Array
    size: Int64Array


class TrueQueue:
    """What a further passive order would have filled in a generated session.

    The market is the recorded one: nobody reacts to the order, so a contract it takes from a
    taker is a contract that, in the recording, somebody behind it got. It fills from takers who
    hit an order that came later at its price, or any order at a worse price, from what takers
    wanted at its price or worse and did not get, and from orders that arrive on the other side at
    prices that meet it.
    """

    def __init__(self, logs: Mapping[str, MarketLog]) -> None:
        self._logs = dict(logs)

    @property
    def logs(self) -> Mapping[str, MarketLog]:
        """Every change of every market's book, by ticker."""
        return self._logs

    def _log(self, ticker: str) -> MarketLog:
        if ticker not in self._logs:
            raise SessionNotFoundError(f"the generated session has no market {ticker!r}")
        return self._logs[ticker]

    def ahead(self, ticker: str, ts_ms: int, side: int, price: int) -> int:
        """Size standing at a price after all that happened up to a time.

        Args:
            ticker: of the market.
            ts_ms: the time, in ms since 1970 UTC.
            side: 0 YES, 1 NO.
            price: of the side, in 1/100 cent.

        Returns:
            A size in 1/100 contract.
        """
        log = self._log(ticker)
        lines = log.lines[: np.searchsorted(log.lines[:, LOG_TIME], ts_ms, side="right")]
        here = lines[(lines[:, LOG_SIDE] == side) & (log.grid[lines[:, LOG_LEVEL]] == price)]
        kind, size = here[:, LOG_KIND], here[:, LOG_SIZE]
        added = size[(kind == ADD) | (kind == OPENING)].sum()
        return int(added - size[(kind == CANCEL) | (kind == FILL)].sum())

    def fills(
        self, ticker: str, ts_ms: int, side: int, price: int, size: int, *, hidden: bool = True
    ) -> TrueFills:
        """Fills of an order that rests behind all that stands at its price, until all is filled.

        It must not cross the book it meets.

        Args:
            ticker: of the market.
            ts_ms: the order comes after all that happened up to this time, in ms since 1970 UTC.
            side: 0 YES, 1 NO.
            price: of the side, in 1/100 cent.
            size: of the order, in 1/100 contract.
            hidden: count also what no recording shows: what takers wanted and did not get, and
                orders of the other side that came and went within one millisecond.

        Returns:
            Times and sizes of the fills.

        Raises:
            SessionNotFoundError: there is no such market.
        """
        log = self._log(ticker)
        start = int(np.searchsorted(log.lines[:, LOG_TIME], ts_ms, side="right"))
        before, after = log.lines[:start], log.lines[start:]
        newest = int(before[:, LOG_NUMBER].max(initial=-1))
        kind, at = after[:, LOG_KIND], log.grid[after[:, LOG_LEVEL]]
        own = after[:, LOG_SIDE] == side
        hit = own & (kind == FILL)
        behind = hit & (at == price) & (after[:, LOG_NUMBER] > newest)
        worse = hit & (at < price)
        wanted = own & (kind == UNFILLED) & (at <= price) & hidden
        meets = ~own & (kind == ADD) & (at + price >= PRICE_SCALE)
        rows = np.flatnonzero(behind | worse | wanted | meets)
        sizes = after[rows, LOG_SIZE]
        if not hidden:
            sizes = np.where(meets[rows], _left_after_a_millisecond(after, rows), sizes)
        total = np.minimum(np.cumsum(sizes), size)
        part = np.diff(total, prepend=0)
        rows, part = rows[part > 0], part[part > 0]
        return TrueFills(after[rows, LOG_TIME], part)


def _left_after_a_millisecond(lines: Int64Array, rows: Int64Array) -> Int64Array:
    """What was left, once their millisecond was over, of the orders that `lines[rows]` add."""
    left: Int64Array = lines[rows, LOG_SIZE].copy()
    for k, line in enumerate(lines[rows]):
        if line[LOG_KIND] == ADD:
            stop = rows[k] + np.searchsorted(lines[rows[k] :, LOG_TIME], line[LOG_TIME], "right")
            same = lines[rows[k] : stop]
            gone = (same[:, LOG_KIND] == CANCEL) | (same[:, LOG_KIND] == FILL)
            gone &= same[:, LOG_NUMBER] == line[LOG_NUMBER]
            left[k] -= same[gone, LOG_SIZE].sum()
    return left
