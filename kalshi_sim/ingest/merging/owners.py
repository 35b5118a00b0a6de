"""Whose book a market's is: that of the connection of its latest snapshot."""

from __future__ import annotations

import numpy as np

from kalshi_sim.ingest.merging.connections import ANY, STALE
from kalshi_sim.ingest.merging.view import BoolArray
from kalshi_sim.session import Int64Array


def passed_over(connection: Int64Array, snapshot: BoolArray) -> tuple[BoolArray, Int64Array]:
    """Find the frames of another connection than that of the market's latest snapshot.

    Args:
        connection: int64 [n] number of each frame's connection, or ANY, STALE.
        snapshot: bool [n] which of them are snapshots.

    Returns:
        bool [n] which frames are passed over; and int64 [k] the places after which the book ends,
        because passed-over frames go on after its owner's last frame.
    """
    n = len(connection)
    none = np.zeros(n, dtype=np.bool_)
    if n == 0 or (connection == connection[0]).all():
        return none, np.empty(0, np.int64)
    owner, over, ends = None, none, []
    latest_kept, waiting = -1, False
    for at, (own, is_snapshot) in enumerate(
        zip(connection.tolist(), snapshot.tolist(), strict=True)
    ):
        if is_snapshot:
            if waiting:
                ends.append(latest_kept)
            owner = owner if own == ANY and owner is not None else own
        elif own == STALE:
            over[at] = True
            continue
        elif owner == ANY and own != ANY:
            owner = own
        elif owner is not None and own not in (owner, ANY):
            over[at] = waiting = True
            continue
        latest_kept, waiting = at, False
    if waiting:
        ends.append(latest_kept)
    return over, np.array(ends, dtype=np.int64)
