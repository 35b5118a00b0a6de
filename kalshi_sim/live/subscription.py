"""Whether live frames still give the whole book of a market, and its events in them."""

from __future__ import annotations

from typing import Final

from kalshi_sim.ingest.batch import CONTROL, Batch
from kalshi_sim.session import NO_TIME, EventKind, Events

HOLE: Final = "a number of the subscription is missing"
RESTART: Final = "a number of the subscription came again"
ENDED: Final = "the subscription ended"
DROPPED: Final = "the subscription no longer lists the market"


class Subscription:
    """The subscription that carries a market's book: that of its latest snapshot.

    Frames without a number reveal no hole, and frames without a sid are of any subscription.
    """

    def __init__(self, ticker: str, *, whole: bool) -> None:
        """Follow the book of one market.

        Args:
            ticker: of the market.
            whole: every frame of the subscription is seen, so a hole in `seq` is a loss.
        """
        self._ticker = ticker
        self._whole = whole
        self._sid = -1
        self._latest: dict[int, int] = {}

    @property
    def sid(self) -> int:
        """Number of the subscription that carries the book; -1: none is known."""
        return self._sid

    def lost(self, batch: Batch) -> str | None:
        """Why the book is unknown after these frames unless they hold its snapshot, or None."""
        reason = None
        controls = iter(batch.controls)
        frames = zip(batch.kind.tolist(), batch.sid.tolist(), batch.seq.tolist(), strict=True)
        for kind, sid, seq in frames:
            here = self._sid >= 0 and sid == self._sid
            found = self._step(sid, seq) if seq >= 0 else None
            if here and found is not None:
                reason = found
            if kind != CONTROL:
                continue
            markets = next(controls).markets
            if markets is None and (here or sid < 0):
                reason = ENDED
            elif markets is not None and here and self._ticker not in markets:
                reason = DROPPED
        return reason

    def _step(self, sid: int, seq: int) -> str | None:
        """Note a number; what is wrong with it after the sid's latest one."""
        latest = self._latest.get(sid)
        self._latest[sid] = seq
        if latest is None or seq == latest + 1:
            return None
        if seq <= latest:
            return RESTART
        return HOLE if self._whole else None

    def owns(self, events: Events, sid: int) -> bool:
        """Whether the book's subscription sent these events; a snapshot chooses the book's.

        Args:
            events: book events of one frame.
            sid: number of the subscription that sent them; -1 if the frame has none.
        """
        if events.kind[0] == EventKind.SNAPSHOT:
            self._sid = sid if sid >= 0 else self._sid
            return True
        return sid < 0 or self._sid < 0 or sid == self._sid


def book_events(batch: Batch, market: int, recv_ms: int | None) -> tuple[Events | None, int]:
    """The book events of one frame that are of one market.

    Args:
        batch: the decoded frame.
        market: number of the market in the batch's table; -1 if the frame has none of it.
        recv_ms: time of receipt in ms since 1970 UTC, which a snapshot takes; None if unknown.

    Returns:
        The events, None if there are none, and the frame's sid (-1: none).
    """
    rows = [i for i in range(len(batch)) if batch.market[i] == market and market >= 0]
    rows = [i for i in rows if batch.kind[i] <= EventKind.DELTA]
    if not rows:
        return None, -1
    i = rows[0]
    snapshot = batch.kind[i] == EventKind.SNAPSHOT
    ts_ms = int(batch.ts_ms[i])
    if recv_ms is not None and (snapshot or ts_ms == NO_TIME):
        ts_ms = recv_ms
    kinds, sides, prices, sizes = (
        [int(batch.kind[i])],
        [int(batch.side[i])],
        [int(batch.price[i])],
        [int(batch.size[i])],
    )
    if snapshot:  # its own price and size are a checksum and a count
        n = len(batch.level_side)
        kinds += [int(EventKind.LEVEL)] * n
        sides = [0, *batch.level_side.tolist()]
        prices = [0, *batch.level_price.tolist()]
        sizes = [0, *batch.level_size.tolist()]
    events = Events.from_columns(
        kind=kinds, side=sides, price=prices, size=sizes, ts_ms=[ts_ms] * len(kinds)
    )
    return events, int(batch.sid[i])
