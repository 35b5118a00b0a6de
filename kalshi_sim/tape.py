"""The tape: every view's rows back to back in flat arrays, built once, shared by everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate, tape_gate
from kalshi_sim.errors import StoreError
from kalshi_sim.features import FEATURES
from kalshi_sim.frames import Tabular, tape_table
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.rows import RowViews, row_views
from kalshi_sim.mapped import MappedFiles
from kalshi_sim.tape_rows import (
    best_of,
    book_of,
    columns_of,
    features_of,
    flow_offsets_of,
    mark2_of,
    pack_rows,
)
from kalshi_sim.views import MarketSessionView, SkippedView, view_tables

if TYPE_CHECKING:
    import pyarrow as pa

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

__all__ = ["MarketSessionView", "SkippedView", "Tape"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Tape(Tabular):
    """Flat, read-only arrays of all rows; docs/contract.md#3-rows-views-tapes defines them.

    payout is what a winning contract pays, in the tape's money unit. Shapes: ts_ms int64 [rows]
    · px, qty int64 [rows, 2, depth] (best first, zero-padded; side 0 YES bids, 1 NO bids) ·
    mark2 int64 [rows] (twice the mark of YES) · features float32 [rows, 40] (0-34, then 47-51) ·
    flow_offsets int64 [rows + 1] · flow int64 [entries, 5] (side, price, and the whole contracts
    removed, added, traded since the row before; by side and price) · states int32 [rows] (which of
    its view's `states` a row is in).

    All but the flow is kept in `rows`, half as large. ts_ms, features and states are views of it;
    px, qty, mark2 and flow_offsets are made when they are first asked for and then kept. `book`
    gives the levels of some rows alone.
    """

    payout: int
    depth: int
    row_interval_ms: int
    min_episode_length: int
    rows: Int64Array = field(repr=False)
    """int64 [rows, width] the records that kernels read (`kalshi_sim.kernels.rows`)."""
    flow: Int64Array
    views: tuple[MarketSessionView, ...]
    skipped: tuple[SkippedView, ...] = ()
    arrays: layout.TapeArrays = field(init=False, repr=False)
    """The same, as kernels read it."""
    saved_in: Path | None = field(init=False, default=None, repr=False)
    """The folder whose files this tape maps, set by `tape_files.open_tape`."""
    mapped: MappedFiles | None = field(init=False, default=None, repr=False)
    """Those files, where they are so large that their pages are given back."""
    _view_bytes: npt.NDArray[np.float64] | None = field(init=False, default=None, repr=False)
    """float64 [views] what the rows of each view and their flow take in them, about."""
    _all_bytes: float = field(init=False, default=0.0, repr=False)

    def __init__(
        self,
        payout: int,
        depth: int = 0,
        row_interval_ms: int = 1,
        min_episode_length: int = 10,
        rows: Int64Array | None = None,
        flow: Int64Array | None = None,
        views: tuple[MarketSessionView, ...] = (),
        skipped: tuple[SkippedView, ...] = (),
        *,
        mapped: MappedFiles | None = None,
        **arrays: Any,
    ) -> None:
        """A tape of `rows`, or of `arrays` as the class describes them, or of both.

        What `arrays` has takes the place of what `rows` hold, so that `dataclasses.replace(tape,
        mark2=...)` gives a tape with other marks. Without `states` every row is in its view's
        first state.

        Args:
            payout: what a winning contract pays in money units.
            depth: levels of each side that a row keeps; with `px` its third dimension.
            row_interval_ms: length of a row in milliseconds.
            min_episode_length: fewest rows of a view.
            rows: int64 [rows, width] records of rows, as kernels read them.
            flow: int64 [entries, 5] what left, came and was traded at a price.
            views: the markets, by their rows.
            skipped: markets left out, with the reason.
            mapped: the files that `rows` and `flow` lie in, if they are to be read in rounds.
            arrays: ts_ms int64 [rows] (ms UTC, ascending within a view), px and qty int64
                [rows, 2, depth] (0 = none), mark2 int64 [rows], features float32 [rows, 40],
                flow_offsets int64 [rows + 1], states int32 [rows].

        Raises:
            ConfigError: an array is missing or unknown, does not fit, or holds what a row cannot;
                the message names it.
        """
        if arrays:
            kept = {} if rows is None else columns_of(row_views(rows), depth)
            columns = tape_gate.check_row_arrays(kept | arrays, payout)
            depth, rows = columns["px"].shape[2], pack_rows(**columns)
        given = (payout, depth, row_interval_ms, min_episode_length, rows, flow, views, skipped)
        names = [f.name for f in fields(self) if f.init]
        for name, value in zip(names, given, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "mapped", mapped)
        tape_gate.check_tape(self)
        self._set_arrays()

    def _set_arrays(self) -> None:
        self.rows.flags.writeable = False
        tables = view_tables(self.views)
        arrays = layout.TapeArrays(*row_views(self.rows), self.flow, *tables)
        for array in arrays:
            array.flags.writeable = False
        object.__setattr__(self, "arrays", arrays)
        if self.mapped is not None:
            row = self.mapped.size / len(self.rows)
            sizes = np.array([len(view) * row for view in self.views], np.float64)
            object.__setattr__(self, "_view_bytes", sizes)
            object.__setattr__(self, "_all_bytes", float(sizes.sum()))

    def with_arrays(self, **changed: Any) -> Tape:
        """This tape with some of its arrays, its views or options replaced, by name.

        The same as `dataclasses.replace`, for the type checker.

        Args:
            changed: arguments of the constructor.

        Returns:
            The new tape.

        Raises:
            ConfigError: an array does not fit, or holds what a row cannot; the message names it.
        """
        return replace(self, **changed)

    @property
    def ts_ms(self) -> Int64Array:
        """int64 [rows] times, a view of `rows`."""
        return self.rows[:, layout.ROW_TS]

    @cached_property
    def px(self) -> Int64Array:
        """int64 [rows, 2, depth] prices of the shown levels."""
        return self._book[0]

    @cached_property
    def qty(self) -> Int64Array:
        """int64 [rows, 2, depth] contracts of the shown levels."""
        return self._book[1]

    @cached_property
    def _book(self) -> tuple[Int64Array, Int64Array]:
        px, qty = self.book(slice(None))
        return _fixed(px), _fixed(qty)

    @cached_property
    def mark2(self) -> Int64Array:
        """int64 [rows] twice the mark of YES."""
        return _fixed(mark2_of(self._rows))

    @property
    def features(self) -> Float32Array:
        """float32 [rows, 40], a view of `rows`."""
        return features_of(self._rows)

    @cached_property
    def flow_offsets(self) -> Int64Array:
        """int64 [rows + 1] where each row's entries of `flow` begin, and where the last end."""
        return _fixed(flow_offsets_of(self._rows))

    @property
    def states(self) -> Int32Array:
        """int32 [rows] which of its view's `states` a row is in, a view of `rows`."""
        return self._rows.i32[:, layout.ROW_STATE]

    @property
    def tops(self) -> Int64Array:
        """int64 [rows, 6] time, mark2, where the flow begins and ends, best bids of both sides."""
        offsets = self.flow_offsets
        columns = (self.ts_ms, self.mark2, offsets[:-1], offsets[1:])
        return np.column_stack([*columns, best_of(self._rows)])

    @property
    def _rows(self) -> RowViews:
        return row_views(self.rows)

    def best_bids(self, rows: slice) -> Int64Array:
        """`px[rows, :, 0]`, int64 [n, 2], without making `px`.

        Args:
            rows: which rows, n of them.

        Returns:
            int64 [n, 2] best bids of both sides, 0 = none.
        """
        return best_of(row_views(self.rows[rows]))

    def marks2(self, rows: slice) -> Int64Array:
        """`mark2[rows]`, without making `mark2`.

        Args:
            rows: which rows, n of them.

        Returns:
            int64 [n] twice the mark of YES.
        """
        return mark2_of(row_views(self.rows[rows]))

    def spans_ms(self) -> Int64Array:
        """Times of the first and last row of each view.

        Returns:
            int64 [views, 2] ms UTC.
        """
        spans = np.zeros((len(self.views), 2), np.int64)
        for i, view in enumerate(self.views):
            self.will_read([i])
            spans[i] = self.ts_ms[view.start], self.ts_ms[view.stop - 1]
        return spans

    def book(self, rows: slice) -> tuple[Int64Array, Int64Array]:
        """`px[rows]` and `qty[rows]`, without making those of all rows.

        Args:
            rows: which rows, n of them.

        Returns:
            Prices int64 [n, 2, depth] and contracts int64 [n, 2, depth].
        """
        return book_of(row_views(self.rows[rows]), self.depth)

    def to_arrow(self, *, levels: int | None = None, features: bool = True) -> pa.Table:
        """A row a row of each view, in the order of the views; asks are prices of YES.

        Args:
            levels: how many levels a side, from the best; by default all that are kept.
            features: add the 40 features that no agent can change, by name.

        Returns:
            session_id, market_ticker, row (from the view's first), time, mid_cents, then price in
            cents and contracts of each level, null where there is none.

        Raises:
            ConfigError: `levels` is no whole number from 1 to the tape's depth.
        """
        if levels is not None:
            levels = gate.check_int("levels", levels, 1, self.depth)
        names = [f.name for f in FEATURES if f.group != "portfolio"] if features else []
        return tape_table(self, levels or self.depth, names)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        sessions = ", ".join(str(i) for i in sorted({v.session_id for v in self.views}))
        return (
            f"Tape(session {sessions}: {len(self.views):,} views, {len(self):,} rows of "
            f"{self.row_interval_ms} ms, depth {self.depth}, payout {self.payout}, "
            f"{len(self.skipped):,} markets skipped)"
        )

    @property
    def flow_side(self) -> Int64Array:
        """int64 [entries] side of each flow entry."""
        return self.flow[:, layout.FLOW_SIDE]

    @property
    def flow_price(self) -> Int64Array:
        """int64 [entries] price of each flow entry."""
        return self.flow[:, layout.FLOW_PRICE]

    @property
    def flow_removed(self) -> Int64Array:
        """int64 [entries] whole contracts removed."""
        return self.flow[:, layout.FLOW_REMOVED]

    @property
    def flow_added(self) -> Int64Array:
        """int64 [entries] whole contracts added."""
        return self.flow[:, layout.FLOW_ADDED]

    @property
    def flow_traded(self) -> Int64Array:
        """int64 [entries] whole contracts of `removed` that are known trades."""
        return self.flow[:, layout.FLOW_TRADED]

    @property
    def row_bytes(self) -> float:
        """Bytes a row takes, its flow apart."""
        return self.rows.nbytes / max(1, len(self))

    def select(self, views: Sequence[int]) -> Tape:
        """A tape of only these views, by index, in this order; it shares all arrays.

        Args:
            views: indices of views.

        Returns:
            The smaller tape.

        Raises:
            ConfigError: an index is no whole number, or there is no such view.
        """
        chosen = gate.check_indices("the selected views", views, len(self.views))
        return self._with_views(tuple(self.views[i] for i in chosen.tolist()))

    def will_read(self, views: npt.ArrayLike, playing: int = 1) -> None:
        """To be called before views are read: of a large mapped tape it bounds the memory.

        Pages that were read before are given back once they are many (`kalshi_sim.mapped`); values
        never change. Does nothing for a tape in memory.

        Args:
            views: indices of views [k].
            playing: how many views are played at the same time.
        """
        if self.mapped is not None and self._view_bytes is not None:
            n_bytes = int(self._view_bytes[np.asarray(views)].sum())
            share = min(1.0, playing / len(self.views))
            self.mapped.will_read(n_bytes, int(share * self._all_bytes))

    def _with_views(self, views: tuple[MarketSessionView, ...]) -> Tape:
        made = object.__new__(Tape)
        made.__dict__.update(self.__dict__)  # the arrays were checked when this tape was made
        object.__setattr__(made, "views", views)
        made._set_arrays()
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Tape:
        """Itself: nothing of a tape can be changed, and gymnasium copies specs that hold one."""
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """A mapped tape is pickled as where it lies, any other as what its constructor checks."""
        if self.saved_in is None:
            given = [getattr(self, f.name) for f in fields(self) if f.init]
            return type(self), tuple(given)
        return _reopen, (self.saved_in, self.views)


def _reopen(folder: Path, views: tuple[MarketSessionView, ...]) -> Tape:
    from kalshi_sim.tape_files import open_tape

    try:
        tape = open_tape(folder)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the tape that was mapped from {folder} cannot be opened there: {error}; "
            "make it anew with load_tape"
        ) from error
    for view in views:
        tape_gate.check_view(view, len(tape))
    return tape._with_views(views)


def _fixed(array: Int64Array) -> Int64Array:
    array.flags.writeable = False
    return array
