"""A block's batch from what the scanner read, and the decoder for the lines left to it."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.ingest.batch import BLOCK_TRADE, Batch
from kalshi_sim.ingest.decoding import MALFORMED, FrameDecoder
from kalshi_sim.ingest.scanning import kernel
from kalshi_sim.ingest.scanning.scanner import Scanned
from kalshi_sim.session import EventKind, Int64Array
from kalshi_sim.units import PRICE_SCALE

_KINDS: Final = np.array([EventKind.DELTA, EventKind.TRADE, BLOCK_TRADE], dtype=np.int8)
"""By the kinds of the scanner."""


def scanned_batch(scanned: Scanned, decoder: FrameDecoder) -> Batch:
    """The frames of a block: equal to `decoder.decode` of its text.

    Args:
        scanned: what the scanner read of the block.
        decoder: of this import; reads the lines that are left, and numbers tickers.

    Raises:
        ValueError: a line is malformed, as `decoder.decode` raises; nothing is counted then.
    """
    if not len(scanned.left):
        return _as_batch(scanned, decoder, _nothing())
    before = decoder.counted()
    try:
        left = decoder.decode(b"\n".join(scanned.left_lines))
        if len(left) != len(scanned.left):
            raise ValueError("several frames on one line")
    except MALFORMED:
        decoder.restore(before)
        raise
    return _with(_as_batch(scanned, decoder, left), scanned.left, left)


@functools.cache
def _nothing() -> Batch:
    return FrameDecoder().decode(b"")


def _as_batch(scanned: Scanned, decoder: FrameDecoder, left: Batch) -> Batch:
    """The columns of all lines; those left have no meaning yet, but for their levels and notes."""
    c = scanned.columns
    kind = c[kernel.KIND]
    delta = kind == kernel.DELTA
    price = c[kernel.PRICE]
    if decoder.use_yes_price:
        price = np.where(delta & (c[kernel.SIDE] == 1), PRICE_SCALE - price, price)
    numbers = np.array([decoder.tickers[name] for name in scanned.tickers] or [-1], dtype=np.int64)
    return replace(
        left,
        kind=_KINDS[np.maximum(kind, 0)],
        market=numbers[c[kernel.MARKET]],
        sid=c[kernel.SID],
        seq=c[kernel.SEQ],
        ts_ms=c[kernel.TS_MS],
        recv_ns=c[kernel.RECV_NS],
        trade_id=c[kernel.TRADE_ID],
        flags=c[kernel.SECONDS].astype(np.int8),
        side=c[kernel.SIDE].astype(np.int8),
        price=price,
        size=c[kernel.SIZE],
    )


def _with(batch: Batch, rows: Int64Array, left: Batch) -> Batch:
    """`batch` with the frames of `left` in `rows`."""

    def column(name: str) -> npt.NDArray[np.generic]:
        out = np.array(getattr(batch, name))
        out[rows] = getattr(left, name)
        return out

    names = (
        *("kind", "market", "sid", "seq", "ts_ms", "recv_ns", "trade_id"),
        *("flags", "side", "price", "size"),
    )
    return replace(batch, **{name: column(name) for name in names})  # type: ignore[arg-type]  # by name
