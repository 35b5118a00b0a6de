"""Fills as `BatchSimulator.fills` gives them: a structured array that also is a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.frames import SIDES, Tabular, name_column, ticker_column, time_column
from kalshi_sim.tape import Tape
from kalshi_sim.units import money_per_cent

if TYPE_CHECKING:
    import pyarrow as pa

Int64Array = npt.NDArray[np.int64]

FILL_DTYPE: Final = np.dtype(
    [
        ("env", np.int64),
        ("row", np.int64),
        ("side", np.int64),
        ("price", np.int64),
        ("qty", np.int64),
        ("fee", np.int64),
        ("maker", np.bool_),
    ]
)


class Fills(np.ndarray[Any, Any], Tabular):
    """Structured array [fills] of dtype `FILL_DTYPE`; money in tape units.

    As a table (`to_arrow`, `to_pandas`, `to_polars`) it also names market and time of each fill,
    in cents. What numpy makes of it by sorting or copying has lost its markets; choose its rows
    by index, slice or mask instead.
    """

    tape: Tape | None = None
    views: Int64Array | None = None
    """[fills] the view of each."""

    @staticmethod
    def of(parts: Sequence[npt.NDArray[Any]], views: Sequence[Int64Array], tape: Tape) -> Fills:
        """All `parts` (structured arrays of `FILL_DTYPE`), one after the other.

        Args:
            parts: structured arrays of `FILL_DTYPE`.
            views: of each part int64 [fills] the views of the tape they were made in.
            tape: what was traded on.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`.
        """
        together = np.concatenate(parts) if parts else np.empty(0, FILL_DTYPE)
        made = together.view(Fills)
        made.tape = tape
        made.views = np.concatenate(views) if views else np.empty(0, np.int64)
        return made

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if not isinstance(found, Fills):
            return found
        if found.dtype != self.dtype or self.views is None:  # columns
            return np.asarray(found)
        found.tape, found.views = self.tape, self.views[key]
        return found

    def _arrow(self) -> pa.Table:
        import pyarrow as pa

        tape, views = self.tape, self.views
        if tape is None or views is None or views.shape != self.shape:
            raise ConfigError(
                "these fills were copied or sorted by numpy and no longer know their markets; make "
                "the table of what fills() returned, or of rows chosen from it"
            )
        cent = money_per_cent(tape.payout)
        raw = np.asarray(self)
        starts = np.array([v.start for v in tape.views])
        sessions = np.array([v.session_id for v in tape.views])
        return pa.table(
            {
                "env": raw["env"],
                "session_id": sessions[views],
                "market_ticker": ticker_column(tape, views),
                "row": raw["row"],
                "time": time_column(tape.ts_ms[starts[views] + raw["row"]]),
                "side": name_column(raw["side"], SIDES),
                "price_cents": raw["price"] / cent,
                "contracts": raw["qty"],
                "fee_cents": raw["fee"] / cent,
                "maker": raw["maker"],
            }
        )
