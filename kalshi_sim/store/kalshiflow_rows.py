"""Reading the recorder's snapshot and delta rows: small on the wire, every row judged.

Deltas come as four integers a row by binary COPY. A delta that does not fit them (a size absent
or huge, a price or side that cannot be) is marked in SQL, read again in full and judged here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import msgspec
import numpy as np

from kalshi_sim.errors import DataError, StoreError
from kalshi_sim.session import Int64Array
from kalshi_sim.store.kalshiflow_eras import Deltas, Ladder, Ladders
from kalshi_sim.store.pg_connection import Twin, literal
from kalshi_sim.store.pg_copy import WORTH_TWO, copy_out, copy_out_in_two
from kalshi_sim.units import CENTS_PER_DOLLAR

SNAPSHOTS: Final = "rl_orderbook_snapshots"
DELTAS: Final = "rl_orderbook_deltas"

MAX_SIZE: Final = 2**40
"""Contracts on one level: more cannot be right, and would not fit the exact arithmetic."""
MAX_SEQ: Final = 2**40
MAX_MS: Final = 2**45
"""Over a thousand years after 1970."""
_ACTIONS: Final = ("add", "remove", "update")
_SAMPLE: Final = 8
_NAMED: Final = 5
_LADDERS: Final = ("yes_bids", "yes_asks", "no_bids", "no_asks")

# A delta is packed in four bigints: the low 48 bits of the ticker's hash with price and side
# (-1 if price, side, action or a size do not fit), time, number, both sizes.
_HASH_BITS: Final = 16
_PRICE_BITS: Final = (1 << _HASH_BITS) - 1
_SIZE_BITS: Final = 32
_SIZES_FIT: Final = f"(old_size::bigint | new_size::bigint) >> {_SIZE_BITS - 1} = 0"
_PACKED: Final = f"""
    CASE WHEN price BETWEEN 1 AND {CENTS_PER_DOLLAR - 1} AND {_SIZES_FIT}
              AND action IN ('add', 'remove', 'update')
         THEN coalesce((hashtextextended(market_ticker, 0) << {_HASH_BITS})
              | CASE side WHEN 'yes' THEN price * 2 WHEN 'no' THEN price * 2 + 1 END, -1)
         ELSE -1 END,
    coalesce(timestamp_ms, -1)::bigint, coalesce(sequence_number, -1)::bigint,
    coalesce((old_size::bigint << {_SIZE_BITS}) | new_size, 0)"""
_MISFIT: Final = f"""(market_ticker IS NOT NULL AND side IN ('yes', 'no')
    AND action IN ('add', 'remove', 'update') AND price BETWEEN 1 AND {CENTS_PER_DOLLAR - 1}
    AND {_SIZES_FIT} AND timestamp_ms BETWEEN 0 AND {MAX_MS}
    AND sequence_number BETWEEN 0 AND {MAX_SEQ}) IS NOT TRUE"""
_PACKED_COLUMNS: Final = (("code", "i8"), ("ts_ms", "i8"), ("seq", "i8"), ("sizes", "i8"))
_DECODER: Final = msgspec.json.Decoder(dict[str, int] | None)


@dataclass
class BadRows:
    """Rows that cannot be right: how many a market, and the first few by name."""

    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def add(self, table: str, row_id: int, market: str | None, why: str) -> None:
        """Note one row."""
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


def _in_markets(markets: Sequence[str] | None) -> str:
    if markets is None:
        return ""
    # No market can have a NUL in its name, and none of these names is then found.
    texts = [literal(ticker) for ticker in markets if "\0" not in ticker]
    return f" AND market_ticker IN ({', '.join(texts) or 'NULL'})"


async def sample_ladders(connection: Any, session_ids: Sequence[int]) -> dict[int, list[Ladders]]:
    """A few non-empty snapshots of each session, to tell its era by; unreadable ones left out."""
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
    """The snapshot rows of a session; `mirrored`: asks only repeat the bids and stay there."""
    wanted = [n if not (mirrored and n.endswith("asks")) else "NULL" for n in _LADDERS]
    columns = ", ".join(f"{e}::text AS {n}" for e, n in zip(wanted, _LADDERS, strict=True))
    rows = await connection.fetch(f"""
        SELECT id, market_ticker, timestamp_ms, sequence_number, {columns} FROM {SNAPSHOTS}
        WHERE session_id = {session_id:d}{_in_markets(markets)} ORDER BY id""")
    out: list[SnapshotRow] = []
    for row in rows:
        market, ts_ms, seq = row["market_ticker"], row["timestamp_ms"], row["sequence_number"]
        try:
            _check_place(market, ts_ms, seq)
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


def _check_place(market: str | None, ts_ms: int | None, seq: int | None) -> None:
    if not market:
        raise ValueError("no market")
    if ts_ms is None or not 0 <= ts_ms <= MAX_MS:
        raise ValueError(f"timestamp_ms {ts_ms} cannot be")
    if seq is None or not 0 <= seq <= MAX_SEQ:
        raise ValueError(f"sequence_number {seq} cannot be")


async def read_deltas(
    connection: Any,
    twin: Twin | None,
    session_id: int,
    markets: Sequence[str] | None,
    known: Sequence[str],
    bad: BadRows,
) -> tuple[Deltas, list[str]]:
    """The delta rows of a session, and the tickers that `market` counts in.

    `known` are the tickers expected; others found are put behind them. Without a twin the rows
    come by id, else in any order.

    Raises:
        StoreError: two tickers cannot be told apart.
    """
    where = f"WHERE session_id = {session_id:d}{_in_markets(markets)}"
    query = f"SELECT {_PACKED} FROM {DELTAS} {where}"
    if twin is None:
        packed = await copy_out(connection, f"{query} ORDER BY id", _PACKED_COLUMNS)
    elif (
        await connection.fetchval(
            f"SELECT count(*) FROM (SELECT FROM {DELTAS} {where} LIMIT {WORTH_TWO}) few"
        )
        < WORTH_TWO
    ):
        packed = await copy_out(connection, query, _PACKED_COLUMNS)
    else:
        halves = (f"{query} AND id % 2 = 0", f"{query} AND id % 2 <> 0")
        packed = await copy_out_in_two(connection, twin, halves, _PACKED_COLUMNS)
    code, sizes = packed["code"], packed["sizes"]
    plain = (code & _PRICE_BITS) != _PRICE_BITS
    for name, most in (("ts_ms", MAX_MS), ("seq", MAX_SEQ)):
        plain &= (packed[name] >= 0) & (packed[name] <= most)
    others: list[tuple[int, ...]] = []
    tickers = list(known)
    if not plain.all():
        rows = await connection.fetch(f"""
            SELECT id, market_ticker, timestamp_ms, sequence_number, side, action, price,
                   old_size, new_size FROM {DELTAS} {where} AND {_MISFIT} ORDER BY id""")
        others = _judge(rows, tickers, bad)
        packed = {name: values[plain] for name, values in packed.items()}
        code, sizes = packed["code"], packed["sizes"]
    market = await _market_of(connection, code >> _HASH_BITS, where, tickers)
    low = code & _PRICE_BITS
    columns = (
        market,
        packed["ts_ms"],
        packed["seq"],
        low & 1,
        low >> 1,
        sizes >> _SIZE_BITS,
        sizes & (2**_SIZE_BITS - 1),
    )
    more = np.array(others, dtype=np.int64).reshape(-1, len(fields(Deltas))).T
    joined = (np.concatenate([a, b]) if others else a for a, b in zip(columns, more, strict=True))
    return Deltas(*joined), tickers


def _judge(rows: Sequence[Any], tickers: list[str], bad: BadRows) -> list[tuple[int, ...]]:
    """The deltas among `rows` that can be right after all; new tickers are put to `tickers`."""
    place = {ticker: i for i, ticker in enumerate(tickers)}
    out: list[tuple[int, ...]] = []
    for row in rows:
        market = row["market_ticker"]
        try:
            _check_place(market, row["timestamp_ms"], row["sequence_number"])
            side, price, old, new = _delta_values(row)
        except ValueError as error:
            bad.add(DELTAS, row["id"], market, str(error))
            continue
        if market not in place:
            place[market] = len(tickers)
            tickers.append(market)
        ts_ms, seq = row["timestamp_ms"], row["sequence_number"]
        out.append((place[market], ts_ms, seq, side, price, old, new))
    return out


def _delta_values(row: Any) -> tuple[int, int, int, int]:
    """(side, price, old, new); an absent size is 0 where the action says so."""
    side, action, price = row["side"], row["action"], row["price"]
    if side not in ("yes", "no"):
        raise ValueError(f"side {side!r} is neither yes nor no")
    if action not in _ACTIONS:
        raise ValueError(f"action {action!r} is none of {', '.join(_ACTIONS)}")
    if price is None or not 1 <= price < CENTS_PER_DOLLAR:
        raise ValueError(f"price {price} is not 1 to {CENTS_PER_DOLLAR - 1} cents")
    old = 0 if row["old_size"] is None and action == "add" else row["old_size"]
    new = 0 if row["new_size"] is None and action == "remove" else row["new_size"]
    for name, size in (("old_size", old), ("new_size", new)):
        if size is None or not 0 <= size <= MAX_SIZE:
            raise ValueError(f"{name} {size} cannot be ({action})")
    return int(side == "no"), price, old, new


async def _market_of(
    connection: Any, hashes: Int64Array, where: str, tickers: list[str]
) -> Int64Array:
    """Places in `tickers` by the hashes of the names; unexpected names are put to `tickers`."""
    found = await _hashes(connection, tickers)
    place, known = _find(hashes, found)
    if not known.all():
        strangers = np.unique(hashes[~known]).tolist()
        rows = await connection.fetch(
            f"""SELECT DISTINCT market_ticker FROM {DELTAS} {where} AND
            (hashtextextended(market_ticker, 0) << {_HASH_BITS}) >> {_HASH_BITS} = ANY($1)
            ORDER BY market_ticker""",
            strangers,
        )
        tickers += [row[0] for row in rows]
        found = await _hashes(connection, tickers)
        place, known = _find(hashes, found)
    if len(np.unique(found)) != len(found) or not known.all():
        raise StoreError(f"{DELTAS}: two markets' names have one hash; load them with markets=")
    return place


async def _hashes(connection: Any, tickers: list[str]) -> Int64Array:
    rows = await connection.fetch(
        f"""SELECT (hashtextextended(t, 0) << {_HASH_BITS}) >> {_HASH_BITS}
        FROM unnest($1::text[]) WITH ORDINALITY AS names (t, i) ORDER BY i""",
        tickers,
    )
    return np.array([row[0] for row in rows], dtype=np.int64)


def _find(hashes: Int64Array, table: Int64Array) -> tuple[Int64Array, np.ndarray[Any, Any]]:
    if not len(table):
        return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), np.bool_)
    order = np.argsort(table)
    at = np.minimum(np.searchsorted(table[order], hashes), len(table) - 1)
    return order[at], table[order][at] == hashes


def refuse(bad: BadRows, session_id: int, skip: bool) -> None:
    """Fail if there are bad rows that are not to be skipped.

    Raises:
        DataError: with the first of them by table, id and market.
    """
    if bad.counts and not skip:
        raise DataError(
            f"session {session_id}: {bad.text}; mend them, or leave them out with --skip-bad-rows "
            "(skip_bad_rows=True)"
        )
