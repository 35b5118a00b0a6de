"""Parquet (or CSV) exports of kalshibook: a file of deltas, a file of snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions
from kalshi_sim.ingest.readers.tables import number_as_text, table_rows, time_ms
from kalshi_sim.ingest.sources import Source

_DELTAS: Final = ("market_ticker", "ts", "received_at", "price_cents", "delta_amount", "side")
_OPTIONAL: Final = "received_at"
_SNAPSHOTS: Final = ("market_ticker", "captured_at", "yes_levels", "no_levels")


class KalshibookReader:
    """Deltas are signed changes in cents; a snapshot's levels are JSON text in its row.

    Snapshots do not say on which subscription they came, so that numbers cannot place them among
    the deltas: times of receipt do, and `sid` and `seq` are left out.
    """

    name = "kalshibook"
    record = "row"

    def knows(self, head: Head) -> bool:
        """By the columns of either file."""
        columns = set(head.columns)
        return columns >= {*_DELTAS} - {_OPTIONAL} or columns >= {*_SNAPSHOTS}

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The table's rows as deltas or snapshots.

        Args:
            source: the table.
            options: not used.

        Raises:
            DataError: a column is missing.
        """
        columns = Head(source.path, source.head()).columns
        snapshots = "yes_levels" in columns
        wanted = tuple(c for c in (_SNAPSHOTS if snapshots else _DELTAS) if c in columns)
        missing = {*(_SNAPSHOTS if snapshots else _DELTAS)} - {*wanted, _OPTIONAL}
        if missing:
            raise DataError(
                f"{source.path} is no table of kalshibook: it lacks {', '.join(sorted(missing))}"
            )
        for first, values in table_rows(source, wanted):
            out: list[bytes] = []
            bad: list[tuple[int, str]] = []
            for i, cells in enumerate(zip(*values, strict=True)):
                row = dict(zip(wanted, cells, strict=True))
                try:
                    out.append(msgspec.json.encode((_snapshot if snapshots else _delta)(row)))
                except (ValueError, TypeError, ArithmeticError) as error:
                    out.append(b"")
                    bad.append((first + i, str(error)))
            yield Block(first, b"\n".join(out), tuple(bad))


def _delta(row: dict[str, Any]) -> dict[str, Any]:
    message = {
        "market_ticker": row["market_ticker"],
        "price": number_as_text(row["price_cents"]),
        "delta": number_as_text(row["delta_amount"]),
        "side": row["side"],
        "ts_ms": time_ms(row["ts"]),
    }
    received = time_ms(row.get("received_at"))
    return {"type": "orderbook_delta", "msg": message, "recv_ts_ms": received}


def _snapshot(row: dict[str, Any]) -> dict[str, Any]:
    received = time_ms(row["captured_at"])
    if received is None:
        raise ValueError("captured_at is missing")
    message = {
        "market_ticker": row["market_ticker"],
        "yes": _levels(row["yes_levels"]),
        "no": _levels(row["no_levels"]),
    }
    return {"type": "orderbook_snapshot", "msg": message, "recv_ts_ms": received}


def _levels(cell: Any) -> Any:
    """The levels of a cell: JSON text of pairs, or of an object from price to size."""
    levels = msgspec.json.decode(cell) if isinstance(cell, str | bytes) else cell
    return list(levels.items()) if isinstance(levels, dict) else levels
