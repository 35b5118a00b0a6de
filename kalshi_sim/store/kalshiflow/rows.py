"""What may stand in the recorder's rows, and reading its snapshots: every row is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.store.kalshiflow.eras import Ladder, Ladders
from kalshi_sim.store.postgres.connection import literal
from kalshi_sim.units import CENTS_PER_DOLLAR

SNAPSHOTS: Final = "rl_orderbook_snapshots"
DELTAS: Final = "rl_orderbook_deltas"

MAX_SIZE: Final = 2**40
"""Contracts on one level: more cannot be right, and would not fit the exact arithmetic."""
MAX_SEQ: Final = 2**40
MAX_MS: Final = 2**45
"""Over a thousand years after 1970."""
_SAMPLE: Final = 8
_NAMED: Final = 5
_LADDERS: Final = ("yes_bids", "yes_asks", "no_bids", "no_asks")

_DECODER: Final = msgspec.json.Decoder(dict[str, int] | None)


@dataclass
class BadRows:
    """Rows that cannot be right: how many a market, and the first few by name."""

    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def add(self, table: str, row_id: int, market: str | None, why: str) -> None:
        """Count a row that cannot be right; the first few are kept for the message.

        Args:
            table: where it stands.
            row_id: its primary key.
            market: its ticker; None if it has none.
            why: what is wrong with it.
        """
        self.counts[market or ""] += 1
        if len(self.named) < _NAMED:
            self.named.append(f"{table} id {row_id}, market {market}: {why}")

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        total = self.counts.total()
        more = f"; and {total - len(self.named)} more" if total > len(self.named) else ""
        rows = "row" if total == 1 else "rows"
        return f"{total} {rows} that cannot be right: {'; '.join(self.named)}{more}"


@dataclass(frozen=True)
class SnapshotRow:
    """One snapshot row that passed."""

    market: str
    ts_ms: int
    seq: int
    ladders: Ladders


def parse_ladder(text: str | None) -> Ladder:
    """A ladder column: an object of price in cents to contracts; NULL is an empty side.

    Raises:
        ValueError: JSON of another shape, or a price or size that cannot be right.
    """
    try:
        levels = (_DECODER.decode(text) if text is not None else None) or {}
    except msgspec.MsgspecError:
        raise ValueError("JSON is not an object of price in cents to whole contracts") from None
    out: dict[int, int] = {}
    for price, size in levels.items():
        if not (price.isascii() and price.isdecimal()) or not 1 <= int(price) < CENTS_PER_DOLLAR:
            raise ValueError(f"price {price!r} is not 1 to {CENTS_PER_DOLLAR - 1} cents")
        if not 0 <= size <= MAX_SIZE or int(price) in out:
            raise ValueError(f"size {size} at price {price} cannot be")
        out[int(price)] = size
    return out


def _parse_ladders(row: Any) -> Ladders:
    return Ladders(*(parse_ladder(row[name]) for name in _LADDERS))


def in_markets(markets: Sequence[str] | None) -> str:
    """The end of a WHERE clause that leaves only these markets; nothing for all of them."""
    if markets is None:
        return ""
    # No market can have a NUL in its name, and none of these names is then found.
    texts = [literal(ticker) for ticker in markets if "\0" not in ticker]
    return f" AND market_ticker IN ({', '.join(texts) or 'NULL'})"


async def sample_ladders(connection: Any, session_ids: Sequence[int]) -> dict[int, list[Ladders]]:
    """Some non-empty snapshots of each session, which show its era; unreadable ones left out.

    Args:
        connection: to the database.
        session_ids: of the recorder.

    Returns:
        Ladders by session id; an empty list where a session has none.
    """
    columns = ", ".join(f"{name}::text AS {name}" for name in _LADDERS)
    filled = " OR ".join(f"{name}::text NOT IN ('{{}}', 'null')" for name in _LADDERS)
    ids = ", ".join(f"({i:d}::bigint)" for i in session_ids) or "(NULL::bigint)"
    rows = await connection.fetch(f"""
        SELECT s.id AS session_id, n.* FROM (VALUES {ids}) AS s (id), LATERAL (
            SELECT {columns} FROM {SNAPSHOTS} WHERE session_id = s.id AND ({filled})
            ORDER BY market_ticker, sequence_number LIMIT {_SAMPLE}) n""")
    out: dict[int, list[Ladders]] = {i: [] for i in session_ids}
    for row in rows:
        try:
            out[row["session_id"]].append(_parse_ladders(row))
        except ValueError:
            continue
    return out


async def read_snapshots(
    connection: Any, session_id: int, markets: Sequence[str] | None, mirrored: bool, bad: BadRows
) -> list[SnapshotRow]:
    """The snapshot rows of a session, by id.

    Args:
        connection: to the database, in a transaction.
        session_id: of the recorder.
        markets: tickers wanted; None for all.
        mirrored: asks only repeat the bids and are not read.
        bad: takes the rows that cannot be right.
    """
    wanted = [n if not (mirrored and n.endswith("asks")) else "NULL" for n in _LADDERS]
    columns = ", ".join(f"{e}::text AS {n}" for e, n in zip(wanted, _LADDERS, strict=True))
    rows = await connection.fetch(f"""
        SELECT id, market_ticker, timestamp_ms, sequence_number, {columns} FROM {SNAPSHOTS}
        WHERE session_id = {session_id:d}{in_markets(markets)} ORDER BY id""")
    out: list[SnapshotRow] = []
    for row in rows:
        market, ts_ms, seq = row["market_ticker"], row["timestamp_ms"], row["sequence_number"]
        try:
            check_place(market, ts_ms, seq)
            ladders = _parse_ladders(row)
            if set(ladders.yes_bids) & set(ladders.yes_asks) and not mirrored:
                raise ValueError("a price stands in yes_bids and in yes_asks")
            if set(ladders.no_bids) & set(ladders.no_asks) and not mirrored:
                raise ValueError("a price stands in no_bids and in no_asks")
        except ValueError as error:
            bad.add(SNAPSHOTS, row["id"], market, str(error))
            continue
        out.append(SnapshotRow(market, ts_ms, seq, ladders))
    return out


def check_place(market: str | None, ts_ms: int | None, seq: int | None) -> None:
    """Check what says where a row belongs.

    Args:
        market: its ticker.
        ts_ms: its time, in ms since 1970 UTC.
        seq: its sequence number.

    Raises:
        ValueError: what of it cannot be.
    """
    if not market:
        raise ValueError("no market")
    if ts_ms is None or not 0 <= ts_ms <= MAX_MS:
        raise ValueError(f"timestamp_ms {ts_ms} cannot be")
    if seq is None or not 0 <= seq <= MAX_SEQ:
        raise ValueError(f"sequence_number {seq} cannot be")


def refuse(bad: BadRows, session_id: int, skip: bool) -> None:
    """Fail if there are bad rows that are not to be skipped.

    Args:
        bad: rows found to be wrong.
        session_id: of the recorder, for the message.
        skip: accept that they are left out.

    Raises:
        DataError: with the first of them by table, id and market.
    """
    if bad.counts and not skip:
        raise DataError(
            f"session {session_id}: {bad.text}; repair them, or leave them out with "
            "--skip-bad-rows (skip_bad_rows=True)"
        )
