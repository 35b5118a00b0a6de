"""Deltas, trades and snapshots of decoded frames, as columns of a batch."""

from __future__ import annotations

import zlib
from typing import Final, NoReturn

import numpy as np

from kalshi_sim.ingest.batch import BLOCK_TRADE, Batch
from kalshi_sim.ingest.frame_times import message_time, set_times
from kalshi_sim.ingest.frames import Frame, Levels, Message
from kalshi_sim.ingest.scanning.trade_ids import trade_numbers
from kalshi_sim.ingest.values import Tickers, Values
from kalshi_sim.session import NO_TIME, Int8Array, Int64Array
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT, mirror, parse_decimal

_SIDES: Final = {"yes": 0, "no": 1, "YES": 0, "NO": 1}
_RESTING_SIDE: Final = {"yes": 1, "no": 0, "bid": 1, "ask": 0, "YES": 1, "NO": 0}
"""The resting side a taker consumed: who bought YES took NO bids."""
_TRUE: Final = (True, "true", "True", "1")


def _bad(why: str) -> NoReturn:
    raise ValueError(why)


class EventMessages:
    """Fills a batch from the messages of book and trade frames."""

    def __init__(
        self,
        tickers: Tickers,
        values: Values,
        *,
        use_yes_price: bool,
    ) -> None:
        """Share what the decoder of an import knows.

        Args:
            tickers: numbers of the markets; new ones are added.
            values: parsed prices and sizes.
            use_yes_price: NO prices are in YES terms.
        """
        self._tickers = tickers
        self._values = values
        self._use_yes_price = use_yes_price

    def deltas(
        self,
        out: Batch,
        rows: Int64Array,
        messages: list[Message],
        recv: Int64Array,
        frames: list[Frame],
    ) -> None:
        """Fill the columns of deltas.

        Args:
            out: the batch; its rows are written.
            rows: int64 [k] places of the deltas in the batch.
            messages: their bodies.
            recv: int64 [n] receive times of all frames, in ms since 1970 UTC.
            frames: all frames of the batch.

        Raises:
            ValueError: a value cannot be right.
        """
        tickers, dollars, contracts = self._tickers, self._values.dollars, self._values.contracts
        out.market[rows] = [tickers[m.market_ticker] for m in messages]
        side = np.array([_SIDES.get(m.side, -1) for m in messages], dtype=np.int8)  # type: ignore[arg-type]  # None: -1
        if (side < 0).any():
            _bad(f"unknown side {messages[int(np.argmin(side))].side!r}")
        fine = [m.price_dollars for m in messages]
        if None in fine:
            price = [
                self._values.cents[m.price] if m.price_dollars is None else dollars[m.price_dollars]
                for m in messages
            ]
        else:
            price = [dollars[text] for text in fine]
        texts = [m.delta_fp for m in messages]
        if None in texts:
            texts = [m.delta if m.delta_fp is None else m.delta_fp for m in messages]
        out.side[rows] = side
        out.price[rows] = self._in_no_terms(np.array(price, dtype=np.int64), side)
        out.size[rows] = [contracts[text] for text in texts]
        set_times(out, rows, messages, recv, frames)

    def trades(
        self,
        out: Batch,
        rows: Int64Array,
        messages: list[Message],
        recv: Int64Array,
        frames: list[Frame],
    ) -> None:
        """Fill the columns of trades.

        Args:
            out: the batch; its rows are written.
            rows: int64 [k] places of the trades in the batch.
            messages: their bodies.
            recv: int64 [n] receive times of all frames, in ms since 1970 UTC.
            frames: all frames of the batch.

        Raises:
            ValueError: a value cannot be right.
        """
        contracts = self._values.contracts
        out.market[rows] = [self._tickers[m.market_ticker] for m in messages]
        takers = [m.taker_outcome_side or m.taker_book_side or m.taker_side for m in messages]
        side = [_RESTING_SIDE.get(t, -1) for t in takers]  # type: ignore[arg-type]  # None: -1
        if -1 in side:
            _bad(f"unknown taker side {takers[side.index(-1)]!r}")
        out.side[rows] = side
        out.price[rows] = [self._trade_price(m, s) for m, s in zip(messages, side, strict=True)]
        size = np.array(
            [contracts[m.count if m.count_fp is None else m.count_fp] for m in messages],
            dtype=np.int64,
        )
        if (size < 0).any():
            _bad("a trade of a negative count")
        out.size[rows] = size
        block = np.array([m.is_block_trade in _TRUE for m in messages])
        out.kind[rows[block]] = BLOCK_TRADE
        out.trade_id[rows] = trade_numbers([m.trade_id for m in messages])
        set_times(out, rows, messages, recv, frames)

    def _trade_price(self, m: Message, side: int) -> int:
        """The price on the resting side, from the finest pair of keys the frame has."""
        own, opposite = m.no_price_dollars, m.yes_price_dollars
        if side == 0:
            own, opposite = opposite, own
        if own is not None:
            return self._values.dollars[own]
        if opposite is not None:
            return mirror(self._values.dollars[opposite], PRICE_SCALE)
        own, opposite = (m.yes_price, m.no_price) if side == 0 else (m.no_price, m.yes_price)
        if own is not None:
            return self._values.cents[own]
        return mirror(self._values.cents[opposite], PRICE_SCALE)

    def snapshots(
        self, out: Batch, rows: Int64Array, frames: list[Frame], recv: Int64Array
    ) -> tuple[list[int], list[int], list[int]]:
        """Fill the columns of snapshots, whose price is a checksum and whose size a count.

        Args:
            out: the batch; its rows are written.
            rows: int64 [k] places of the snapshots in the batch.
            frames: all frames of the batch.
            recv: int64 [n] receive times of all frames, in ms since 1970 UTC.

        Returns:
            Sides, prices and sizes of all their levels.

        Raises:
            ValueError: a value cannot be right.
        """
        sides: list[int] = []
        prices: list[int] = []
        sizes: list[int] = []
        for i in rows.tolist():
            frame = frames[i]
            message = frame.book
            if not isinstance(message, Message):
                _bad("a snapshot without a message")
            ticker = message.market_ticker or frame.market_ticker or frame.ticker
            out.market[i] = self._tickers[ticker]
            first = len(sides)
            for side, fine, between, legacy in (
                (0, message.yes_dollars_fp, message.yes_dollars, message.yes),
                (1, message.no_dollars_fp, message.no_dollars, message.no),
            ):
                levels = fine if fine is not None else between
                parse = self._values.dollars
                if levels is None:
                    levels, parse = legacy, self._values.cents
                if not levels:
                    continue
                try:
                    here = [parse[price] for price, _ in levels]
                except ValueError:  # rare: a level of nothing at 0 or 1 dollar
                    levels = self._without_edges(levels, cents=levels is legacy)
                    here = [parse[price] for price, _ in levels]
                if side == 1 and self._use_yes_price:
                    here = [mirror(price, PRICE_SCALE) for price in here]
                prices += here
                sizes += [self._values.contracts[size] for _, size in levels]
                sides += [side] * len(levels)
            if min(sizes[first:], default=0) < 0:
                _bad("a level of a negative size")
            content = repr((sides[first:], prices[first:], sizes[first:]))
            out.price[i] = zlib.crc32(content.encode())
            out.size[i] = len(sides) - first
            out.ts_ms[i] = recv[i]
            if recv[i] == NO_TIME:
                out.ts_ms[i] = message_time(message, NO_TIME, frame.sending_ts_ms)
        return sides, prices, sizes

    def _without_edges(self, levels: Levels, *, cents: bool) -> Levels:
        """The levels but those of size 0 at 0 or 1 dollar, which no book has."""
        scale = STORED_PER_CENT if cents else PRICE_SCALE
        return [
            (price, size)
            for price, size in levels
            if self._values.contracts[size] or parse_decimal(price, scale) not in (0, PRICE_SCALE)
        ]

    def _in_no_terms(self, price: Int64Array, side: Int8Array) -> Int64Array:
        """Prices of the NO side, which a `use_yes_price` subscription states in YES terms."""
        return np.where(side == 1, PRICE_SCALE - price, price) if self._use_yes_price else price
