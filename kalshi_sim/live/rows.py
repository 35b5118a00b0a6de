"""The rows that a live market has closed so far, in arrays that grow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout, replay_state
from kalshi_sim.kernels.rows import RowViews, row_views
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.tape_rows import book_of, features_of, mark2_of

Float32Array = npt.NDArray[np.float32]
_FIRST_ROOM = 1024


class LiveRows:
    """Rows as in `Tape`, and the replay that adds to them once the first book is known."""

    def __init__(self, depth: int) -> None:
        """Have no rows yet.

        Args:
            depth: levels a side that a row keeps.
        """
        self.depth = depth
        self._out = replay_state.make_rows(_FIRST_ROOM, _FIRST_ROOM, depth)
        self._replay: replay_state.Replay | None = None

    def __len__(self) -> int:
        """Rows closed so far."""
        return 0 if self._replay is None else int(self._replay.state[replay_state.ROWS])

    @property
    def _rows(self) -> RowViews:
        return row_views(self._out.i64[: len(self)])

    @property
    def ts_ms(self) -> npt.NDArray[np.int64]:
        """int64 [rows]"""
        return self._rows.i64[:, layout.ROW_TS]

    @property
    def px(self) -> npt.NDArray[np.int64]:
        """int64 [rows, 2, depth]"""
        return book_of(self._rows, self.depth)[0]

    @property
    def qty(self) -> npt.NDArray[np.int64]:
        """int64 [rows, 2, depth]"""
        return book_of(self._rows, self.depth)[1]

    @property
    def mark2(self) -> npt.NDArray[np.int64]:
        """int64 [rows]"""
        return mark2_of(self._rows)

    @property
    def features(self) -> Float32Array:
        """float32 [rows, 40]"""
        return features_of(self._rows)

    @property
    def flow(self) -> npt.NDArray[np.int64]:
        """int64 [entries, 5]"""
        entries = 0 if self._replay is None else int(self._replay.state[replay_state.FLOWS])
        return self._out.flow[:entries]

    def _row_tape(self, row: int, view: MarketSessionView, payout: int, interval_ms: int) -> Tape:
        """A row as a tape of one view, without the flow into it."""
        alone = self._rows.i64[row : row + 1].copy()
        row_views(alone).i64[:, layout.ROW_FLOW] = 0
        row_views(alone).i16[:, layout.ROW_FLOW_ENTRIES] = 0
        return Tape(
            payout=payout,
            depth=self.depth,
            row_interval_ms=interval_ms,
            min_episode_length=3,
            rows=alone,
            flow=np.zeros((0, layout.N_FLOW), np.int64),
            views=(view,),
        )

    def _make_room(self, events: int) -> None:
        """Double the arrays where `events` more might not fit."""
        rows = self._room(len(self._out.i64), len(self) + events)
        flow = self._room(len(self._out.flow), len(self.flow) + 2 * events + self._touched)
        if rows == len(self._out.i64) and flow == len(self._out.flow):
            return
        grown = replay_state.make_rows(rows, flow, self.depth)
        made, entries = len(self), len(self.flow)
        grown.i64[:made] = self._out.i64[:made]
        grown.flow[:entries] = self._out.flow[:entries]
        self._out = grown
        if self._replay is not None:
            sums = np.zeros((rows, self._replay.history.sums.shape[1]), np.int64)
            sums[: len(self)] = self._replay.history.sums[: len(self)]
            history = self._replay.history._replace(sums=sums)
            self._replay = self._replay._replace(history=history)

    @property
    def _touched(self) -> int:
        return 0 if self._replay is None else int(self._replay.state[replay_state.TOUCHED])

    @staticmethod
    def _room(now: int, needed: int) -> int:
        while now <= needed:
            now *= 2
        return now
