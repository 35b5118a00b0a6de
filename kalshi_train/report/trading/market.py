"""What a page knows of one market of a run: every row, its book, and what was done there."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import action_label
from kalshi_sim.kernels.layout import ROW_TS
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.kernels.rows import row_views, row_width
from kalshi_sim.live.band import STATE
from kalshi_sim.tape_rows import book_of, mark2_of
from kalshi_train.report.blocks import MOST_AHEAD, STANDING_OUT, Z_SCALE, Block, book_of_rows

_NAMES: Final = [name for name, _ in STATE]
_ACTION: Final = len(_NAMES)
_FIRST_ROOM: Final = 256
_MOVES: Final = 1e-6
"""A feature with a smaller standard deviation stands still."""
_FARTHEST: Final = 127
FILL_COLUMNS: Final = ("row", "side", "price", "qty", "fee", "maker")


def _room(array: npt.NDArray[Any], needed: int) -> npt.NDArray[Any]:
    if needed <= len(array):
        return array
    grown = np.zeros((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


class MarketSoFar:
    """One market; rows are known once both the log and the file of rows have them."""

    def __init__(self, ticker: str, depth: int) -> None:
        """No row yet.

        Args:
            ticker: of the market.
            depth: levels a side of its rows.
        """
        self.ticker = ticker
        self.decided = 0
        """Rows in the log that are not lost."""
        self.lost = 0
        """Rows of which a kill left no book."""
        self.orders = 0
        self.actions: Counter[int] = Counter()
        self.blocked: Counter[str] = Counter()
        self.cancelled: str | None = None
        """Why its orders were taken back last."""
        self.states: list[list[int]] = []
        """The latest, by fill model."""
        self._depth = depth
        self._rows = np.zeros((_FIRST_ROOM, _ACTION + 1), np.int64)
        self._books = np.zeros((_FIRST_ROOM, row_width(depth)), np.int64)
        self._top = np.zeros((_FIRST_ROOM, STANDING_OUT), np.int64)
        self._distance = np.zeros((_FIRST_ROOM, STANDING_OUT), np.int64)
        self._kept = 0
        self._sums = np.zeros((2, N_FEATURES))
        self._fills: list[tuple[int, list[int]]] = []

    @property
    def rows(self) -> int:
        """Rows that can be replayed."""
        return min(self.decided, self._kept)

    def decide(self, line: dict[str, Any], states: list[list[int]], chosen: int) -> None:
        """Take a row of the log.

        Args:
            line: as it was written.
            states: values of `STATE`, one list a fill model or the exchange.
            chosen: number of the one the policy saw.
        """
        at = self.decided
        self._rows = _room(self._rows, at + 1)
        self._rows[at, :_ACTION] = states[chosen]
        self._rows[at, _ACTION] = line["a"]
        self.decided += 1
        self.states = states
        self.actions[line["a"]] += 1
        if why := line.get("why"):
            self.blocked[why] += 1

    def fill(self, fill: list[int]) -> None:
        """Take a fill of the latest row.

        Args:
            fill: values of `FILL_COLUMNS`.
        """
        self._fills.append((self.decided - 1, fill))

    def forget_what_was_not_kept(self) -> None:
        """Leave out rows whose books a kill took with it, before those of another leg come."""
        kept = self.rows
        self.lost += self.decided - kept
        self.decided = self._kept = kept
        self._fills = [(at, fill) for at, fill in self._fills if at < kept]

    def keep(self, records: npt.NDArray[np.void]) -> None:
        """Take books and observations of rows.

        Args:
            records: structured array [n] of dtype `row_type` (`kalshi_train.trading.rows`), of this
                market, in order.
        """
        begin, end = self._kept, self._kept + len(records)
        self._books = _room(self._books, end)
        self._top, self._distance = _room(self._top, end), _room(self._distance, end)
        self._books[begin:end] = records["book"]
        top, distance = self._standing_out(records["seen"].astype(np.float64))
        self._top[begin:end], self._distance[begin:end] = top, distance
        self._kept = end

    def _standing_out(
        self, seen: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Features farthest from their mean so far, so that later rows change none of it."""
        count = (self._kept + 1 + np.arange(len(seen)))[:, None]
        # Added one row after another, whatever parts they come in: the same bits.
        sums = np.cumsum(np.vstack([self._sums[:1], seen]), axis=0)[1:]
        squares = np.cumsum(np.vstack([self._sums[1:], seen * seen]), axis=0)[1:]
        self._sums[0], self._sums[1] = sums[-1], squares[-1]
        mean = sums / count
        deviation = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
        moves = deviation > _MOVES
        z = np.where(moves, (seen - mean) / np.where(moves, deviation, 1.0), 0.0)
        top = np.argsort(-np.abs(z), axis=1, kind="stable")[:, :STANDING_OUT]
        far = np.clip(np.take_along_axis(z, top, axis=1) * Z_SCALE, -_FARTHEST, _FARTHEST)
        return top.astype(np.int64), np.rint(far).astype(np.int64)

    def blocks(self, begin: int, actions: tuple[str, ...]) -> dict[str, Any] | None:
        """The book and the agent of all rows from one on, as the page's script reads them.

        Args:
            begin: the first row.
            actions: names of the action table's rows.

        Returns:
            `book` and `agent`; None if there is no such row yet.
        """
        end = self.rows
        if not 0 <= begin < end:
            return None
        books = row_views(self._books[begin:end])
        ts = self._books[begin:end, ROW_TS]
        book = book_of_rows(ts, mark2_of(books), *book_of(books, self._depth))
        block, rows = Block(), self._rows[begin:end]
        column = {name: rows[:, i] for i, name in enumerate(_NAMES)}
        block.add("action", rows[:, _ACTION])
        for name in ("position", "equity2", "cash"):
            block.add(name, column[name])
        for number, side in enumerate(("yes", "no")):
            block.add(f"price{number}", column[f"{side}_price"])
            block.add(f"size{number}", column[f"{side}_size"])
            block.add(f"ahead{number}", np.minimum(column[f"{side}_ahead"], MOST_AHEAD))
        for k in range(STANDING_OUT):
            block.add(f"feature{k}", self._top[begin:end, k])
            block.add(f"z{k}", self._distance[begin:end, k])
        fills = [fill for at, fill in self._fills if begin <= at < end]
        agent = {
            "rows": end - begin,
            "actions": [action_label(name) for name in actions],
            "standing_out": STANDING_OUT,
            "has_network": False,
            "fills": {n: [fill[c] for fill in fills] for c, n in enumerate(FILL_COLUMNS)},
            **block.pack(),
        }
        return {"book": book, "agent": agent}
