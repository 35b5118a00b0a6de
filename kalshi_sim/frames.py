"""Tables with readable units for notebooks: Arrow always, pandas and polars where installed.

Money is in cents and sizes in contracts, as float64, since these tables are for reading: the exact
integers stay in the objects they are made of. Times are timestamps in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.extras import import_module
from kalshi_sim.units import SIZE_SCALE, STORED_PER_CENT, mirror, money_per_cent

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from kalshi_sim.session import Events, Session
    from kalshi_sim.tape import Tape

SIDES: Final = ("yes", "no")
"""Names of the sides of a book."""


class Tabular:
    """Something that has a table: `to_arrow`, `to_pandas`, `to_polars`."""

    def _arrow(self) -> pa.Table:
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """The table as Arrow has it; the class says what a row is.

        Returns:
            Money in cents, sizes in contracts, times as timestamps in UTC.
        """
        return self._arrow()

    def to_pandas(self) -> pd.DataFrame:
        """`to_arrow` as a pandas data frame.

        Returns:
            The same columns.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        import_module("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """`to_arrow` as a polars data frame.

        Returns:
            The same columns.

        Raises:
            MissingExtraError: polars is not installed.
        """
        polars: Any = import_module("polars")
        frame: pl.DataFrame = polars.from_arrow(self.to_arrow())
        return frame


def time_column(ts_ms: npt.NDArray[np.int64], known: npt.NDArray[np.bool_] | None = None) -> Any:
    """Milliseconds as timestamps.

    Args:
        ts_ms: int64 [n] ms UTC.
        known: bool [n], False where there is no time; all are known if omitted.

    Returns:
        Arrow array [n], null where not known.
    """
    import pyarrow as pa

    mask = None if known is None else ~known
    return pa.array(ts_ms, mask=mask).cast(pa.timestamp("ms", tz="UTC"))


def name_column(
    codes: npt.NDArray[Any], names: Sequence[str], known: npt.NDArray[np.bool_] | None = None
) -> Any:
    """Text `names[codes]` as a dictionary column.

    Args:
        codes: integers [n], places in `names`.
        names: the texts.
        known: bool [n], False where there is none; all are known if omitted.

    Returns:
        Arrow array [n], null where not known.
    """
    import pyarrow as pa

    indices = pa.array(codes.astype(np.int32), mask=None if known is None else ~known)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def number_column(values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> Any:
    """Numbers, null where there is none.

    Args:
        values: numbers [n], int64 or float64.
        known: bool [n], False where there is none.

    Returns:
        Arrow array [n].
    """
    import pyarrow as pa

    return pa.array(values, mask=~known)


def events_table(events: Events, kinds: Sequence[str], markets: Session | None = None) -> pa.Table:
    """A row an event, in stream order; with `markets` its market first.

    kind is one of `kinds`; side, price and size are null where the kind has none; `traded` are the
    contracts of a removal that were known trades.

    Args:
        events: the events.
        kinds: names of their kinds by number.
        markets: the session they are all of, to name the market of each.

    Returns:
        The table; prices in cents, sizes in contracts.
    """
    import pyarrow as pa

    kind = events.kind
    names = [kinds[k] for k in sorted(set(kind.tolist()))] or list(kinds)
    codes = np.zeros(len(kinds), np.int32)
    codes[[kinds.index(n) for n in names]] = np.arange(len(names))
    priced = ~np.isin(kind, [kinds.index("snapshot"), kinds.index("gap")])
    sized = priced & (kind != kinds.index("drop_level"))
    columns: dict[str, Any] = {}
    if markets is not None:
        lengths = np.diff(markets.market_offsets)
        tickers = [m.ticker for m in markets.markets]
        columns["market_ticker"] = name_column(np.repeat(np.arange(len(tickers)), lengths), tickers)
    columns |= {
        "time": time_column(events.ts_ms, events.ts_ms > -(2**61)),
        "kind": name_column(codes[kind], names),
        "side": name_column(events.side, SIDES, priced),
        "price_cents": number_column(events.price / STORED_PER_CENT, priced),
        "contracts": number_column(events.size / SIZE_SCALE, sized),
        "traded": number_column(events.traded / SIZE_SCALE, sized),
        "seq": number_column(events.seq, events.seq >= 0),
        "sid": number_column(events.sid, events.sid >= 0),
        "frame": events.frame,
        "flags": events.flags,
    }
    return pa.table(columns)


def tape_table(tape: Tape, levels: int, features: Sequence[str]) -> pa.Table:
    """A row a row of the tape, by view: time, mid, the best `levels` a side, `features`.

    Asks are prices of YES; an absent level is null.

    Args:
        tape: what to show.
        levels: how many levels a side.
        features: names of the tape's 40 features, or none.

    Returns:
        The table; prices in cents, sizes in contracts.
    """
    import pyarrow as pa

    cent = money_per_cent(tape.payout)
    rows = np.concatenate([np.arange(v.start, v.stop) for v in tape.views])
    lengths = np.array([len(v) for v in tape.views])
    view = np.repeat(np.arange(len(tape.views)), lengths)
    session_ids = np.array([v.session_id for v in tape.views])
    columns: dict[str, Any] = {
        "session_id": session_ids[view],
        "market_ticker": ticker_column(tape, view),
        "row": rows - np.array([v.start for v in tape.views])[view],
        "time": time_column(tape.ts_ms[rows]),
        "mid_cents": tape.mark2[rows] / (2 * cent),
    }
    for k in range(levels):
        number = f"_{k + 1}" if levels > 1 else ""
        for side, name in enumerate(("bid", "ask")):
            px, qty = tape.px[rows, side, k], tape.qty[rows, side, k]
            price: Any = px if side == 0 else mirror(px, tape.payout)
            columns[f"{name}_cents{number}"] = number_column(price / cent, qty > 0)
            columns[f"{name}_contracts{number}"] = number_column(qty, qty > 0)
    if features:
        values = tape.features
        columns |= {name: values[rows, i] for i, name in enumerate(features)}
    return pa.table(columns)


def ticker_column(tape: Tape, view: npt.NDArray[np.int64]) -> Any:
    """The market of each row.

    Args:
        tape: what has the views.
        view: int64 [n] the index of each row's view.

    Returns:
        Arrow array [n] of tickers.
    """
    tickers = list(dict.fromkeys(v.market_ticker for v in tape.views))
    places = {ticker: i for i, ticker in enumerate(tickers)}
    codes = np.array([places[v.market_ticker] for v in tape.views])
    return name_column(codes[view], tickers)
