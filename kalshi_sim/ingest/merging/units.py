"""Units: frames of one market from a snapshot to the next, which are of one connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kalshi_sim.ingest.merging.arrival import Arrival
from kalshi_sim.ingest.merging.connections import STALE
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.view import BoolArray, Frames, group_numbers
from kalshi_sim.session import Int64Array


@dataclass(frozen=True)
class Units:
    """Frames of one market from a snapshot to the next, on one connection, in one chain.

    Of each book frame, int64 [n] each: row, key (of `Arrival`), seq, sid, chain, market, unit;
    and whether it was written late, and is a snapshot, bool [n].
    """

    row: Int64Array
    key: Int64Array
    seq: Int64Array
    sid: Int64Array
    chain: Int64Array
    market: Int64Array
    unit: Int64Array
    late: BoolArray
    snapshot: BoolArray

    @staticmethod
    def of(frames: Frames, markets: Sequence[Placed], arrival: Arrival) -> Units:
        """All book frames, but deltas that are older than the snapshot before them.

        A market's own numbers need not show that a connection starts anew: any snapshot may.

        Args:
            frames: all frames of the import.
            markets: their book frames in order.
            arrival: the order of files.
        """
        rows, market, unit, late = [], [], [], []
        count = 0
        for number, placed in enumerate(markets):
            known = placed.sent.connection != STALE
            own, connection = placed.sent.rows[known], placed.sent.connection[known]
            if len(own) == 0:
                continue
            order = np.argsort(connection, kind="stable")
            snapshots = np.empty(len(own), dtype=np.int64)
            snapshots[order] = np.cumsum(frames.is_snapshot[own[order]])
            chain = arrival.chains(own)
            parts = group_numbers(connection, snapshots, chain)
            rows.append(own)
            market.append(np.full(len(own), number))
            unit.append(parts + count)
            late.append(_written_late(arrival.key[own], chain))
            count += int(parts.max()) + 1
        nothing = np.empty(0, dtype=np.int64)
        row = np.concatenate([nothing, *rows])
        return Units(
            row,
            arrival.key[row],
            frames.seq[row],
            frames.batch.sid[row],
            arrival.chains(row),
            np.concatenate([nothing, *market]),
            np.concatenate([nothing, *unit]),
            np.concatenate([np.empty(0, dtype=np.bool_), *late]),
            frames.is_snapshot[row],
        )

    def chosen(self, at: Int64Array) -> Units:
        """Only these."""
        return Units(
            self.row[at],
            self.key[at],
            self.seq[at],
            self.sid[at],
            self.chain[at],
            self.market[at],
            self.unit[at],
            self.late[at],
            self.snapshot[at],
        )


def _written_late(key: Int64Array, chain: Int64Array) -> BoolArray:
    """Which frames of a market stand before others that their files had before them."""
    late = np.zeros(len(key), dtype=np.bool_)
    for value in np.unique(chain).tolist():
        own = np.flatnonzero(chain == value)
        late[own] = key[own] > np.minimum.accumulate(key[own][::-1])[::-1]
    return late
