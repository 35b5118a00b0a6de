"""Reading the recorder's delta rows: three integers a row by binary COPY, every row judged.

A row that does not fit them (a price, side or action that cannot be, a huge size or number, a time
far away) is recognized by its first integer, read again in full and judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_sim.errors import StoreError
from kalshi_sim.session import Int64Array
from kalshi_sim.store.kalshiflow.era_events import Deltas
from kalshi_sim.store.kalshiflow.rows import DELTAS, MAX_SIZE, BadRows, check_place, in_markets
from kalshi_sim.store.postgres.connection import Twin
from kalshi_sim.store.postgres.copy import WORTH_TWO, copy_out, copy_out_in_two
from kalshi_sim.units import CENTS_PER_DOLLAR

_SIDES: Final = ("yes", "no")
_ACTIONS: Final = ("add", "remove", "update")

# The three: 48 bits of a hash of ticker, action and side, over 16 of price (all ones if a number
# does not fit its 31 bits); time since `base`, over the row's number; old size, over new size.
# Hashing all three texts costs the server less than comparing two of them.
_HASH_BITS: Final = 16
_LOW: Final = (1 << _HASH_BITS) - 1
_BITS: Final = 31
_MASK: Final = (1 << _BITS) - 1
_CODES: Final = (("code", "i8"), ("place", "i8"), ("sizes", "i8"))
_OLD: Final = "coalesce(old_size, CASE action WHEN 'add' THEN 0 END)::bigint"
_NEW: Final = "coalesce(new_size, CASE action WHEN 'remove' THEN 0 END)::bigint"
_TIME: Final = "greatest(timestamp_ms, -1)"
"""So that subtracting from it cannot overflow."""
_ONE_HASH: Final = f"{DELTAS}: two markets' names have one hash; load them with markets="
_PROBES: Final = 256
_ROWS_IN_BLOCK: Final = 60


def _hash(ticker: str, action: str, side: str) -> str:
    return (
        f"hashtextextended({side}, hashtextextended({action}, hashtextextended({ticker}, 0))) "
        f"<< {_HASH_BITS}"
    )


def _fits(base: int) -> str:
    """Whether numbers have their 31 bits: none is negative, none is larger, none is absent."""
    return f"({_OLD} | {_NEW} | sequence_number::bigint | ({_TIME} - {base:d})) >> {_BITS} = 0"


def _packed(base: int) -> str:
    code = f"({_hash('market_ticker', 'action', 'side')}) # price"
    return f"""
        coalesce(CASE WHEN {_fits(base)} THEN {code} END, -1),
        coalesce((({_TIME} - {base:d}) << {_BITS}) | sequence_number, 0),
        coalesce(({_OLD} << {_BITS}) | {_NEW}, 0)"""


def _misfit(base: int) -> str:
    return f"""(market_ticker <> '' AND side IN {_SIDES} AND action IN {_ACTIONS}
        AND price BETWEEN 1 AND {CENTS_PER_DOLLAR - 1} AND {_fits(base)}) IS NOT TRUE"""


async def read_deltas(
    connection: Any,
    twin: Twin | None,
    session_id: int,
    markets: Sequence[str] | None,
    known: Sequence[str],
    near_ms: int,
    bad: BadRows,
) -> tuple[Deltas, list[str]]:
    """Read the delta rows of a session.

    Args:
        connection: to the database, in a transaction.
        twin: makes a second connection in the same snapshot, with which rows come in any order;
            None: rows come by id.
        session_id: of the recorder.
        markets: tickers wanted; None for all.
        known: tickers expected; others found are put behind them.
        near_ms: a time of the session, in ms since 1970 UTC; rows within 12 days of it are read
            fast, others one by one.
        bad: takes the rows that cannot be right.

    Returns:
        The rows, and the tickers that their column `market` counts in.

    Raises:
        StoreError: two tickers cannot be distinguished.
    """
    base = max(0, near_ms - (1 << (_BITS - 1)))
    where = f"WHERE session_id = {session_id:d}{in_markets(markets)}"
    query = f"SELECT {_packed(base)} FROM {DELTAS} {where}"
    halves = None if twin is None else await _halves(connection, where)
    tickers = list(known)
    while True:
        unpack = _Unpack(await _hashes(connection, tickers), base)
        if twin is None or halves is None:
            order = " ORDER BY id" if twin is None else ""
            columns = await copy_out(connection, query + order, _CODES, unpack)
        else:
            queries = (f"{query} AND {halves[0]}", f"{query} AND {halves[1]}")
            columns = await copy_out_in_two(connection, twin, queries, _CODES, unpack)
        if not unpack.unread:
            return Deltas(*columns), tickers
        rows = await connection.fetch(f"""
            SELECT id, market_ticker, timestamp_ms, sequence_number, side, action, price,
                   old_size, new_size FROM {DELTAS} {where} AND {_misfit(base)} ORDER BY id""")
        if len(rows) == unpack.unread:
            others = np.array(_judge(rows, tickers, bad), dtype=np.int64)
            more = others.reshape(-1, len(fields(Deltas))).T
            joined = (np.concatenate(pair) for pair in zip(columns, more, strict=True))
            return Deltas(*joined), tickers
        strangers = await connection.fetch(
            f"""SELECT DISTINCT market_ticker FROM {DELTAS} {where} AND NOT {_misfit(base)}
            AND market_ticker <> ALL ($1::text[]) ORDER BY 1""",
            tickers,
        )
        if not strangers:
            raise StoreError(_ONE_HASH)
        tickers += [row[0] for row in strangers]


class _Unpack:
    """Makes columns as in `Deltas` of the three integers, without the rows that do not fit.

    `table` [n * 6] has the hash of each ticker with every action and side.
    """

    def __init__(self, table: Int64Array, base: int) -> None:
        self._table = pa.array(table)
        self._base = base
        self.unread = 0
        """Rows left out: they do not fit, or their ticker is not known."""

    def __call__(self, packed: Sequence[Int64Array]) -> list[Int64Array]:
        """Columns of some rows."""
        code, place, sizes = packed
        found = pc.index_in(pa.array(code >> _HASH_BITS), value_set=self._table)
        names = found.fill_null(-1).to_numpy().astype(np.int64)
        price = code & _LOW
        plain = (names >= 0) & (price > 0) & (price < CENTS_PER_DOLLAR)
        if not plain.all():
            self.unread += len(plain) - int(np.count_nonzero(plain))
            names, price, place, sizes = (a[plain] for a in (names, price, place, sizes))
        return [
            names // (len(_ACTIONS) * len(_SIDES)),
            (place >> _BITS) + self._base,
            place & _MASK,
            names % len(_SIDES),
            price,
            sizes >> _BITS,
            sizes & _MASK,
        ]


async def _halves(connection: Any, where: str) -> tuple[str, str] | None:
    """Two conditions that part a large session's rows in two of about one size; or None.

    By the place in the table, which a server from version 14 on need not read all of for it.
    """
    blocks = await connection.fetchval(
        "SELECT pg_relation_size(oid) / current_setting('block_size')::integer FROM pg_class "
        f"WHERE oid = '{DELTAS}'::regclass AND relkind = 'r'"
    )
    if not blocks:  # a view or a partitioned table, whose rows have no such place
        return None
    step = blocks // _PROBES + 1
    # The first row of every `step`-th block shows where the session's rows are.
    middle, found = await connection.fetchrow(f"""
        SELECT (percentile_disc(0.5) WITHIN GROUP (ORDER BY ctid))::text, count(*) FROM {DELTAS}
        {where} AND ctid = ANY (ARRAY(
            SELECT format('(%s,1)', block)::tid FROM generate_series(0, {blocks}, {step}) block
        ))""")
    if found * step < WORTH_TWO // _ROWS_IN_BLOCK:
        return None
    return f"ctid < '{middle}'", f"ctid >= '{middle}'"


async def _hashes(connection: Any, tickers: list[str]) -> Int64Array:
    """[len(tickers) * 6] a ticker with every action and side, the sides next to each other.

    Raises:
        StoreError: two of them are one.
    """
    rows = await connection.fetch(
        f"""SELECT ({_hash("t", "a", "s")}) >> {_HASH_BITS}
        FROM unnest($1::text[]) WITH ORDINALITY AS names (t, i),
             unnest($2::text[]) WITH ORDINALITY AS actions (a, j),
             unnest($3::text[]) WITH ORDINALITY AS sides (s, k) ORDER BY i, j, k""",
        tickers,
        _ACTIONS,
        _SIDES,
    )
    found = np.array([row[0] for row in rows], dtype=np.int64)
    if len(np.unique(found)) != len(found):
        raise StoreError(_ONE_HASH)
    return found


def _judge(rows: Sequence[Any], tickers: list[str], bad: BadRows) -> list[tuple[int, ...]]:
    """The deltas among `rows` that can be right after all; new tickers are put to `tickers`."""
    place = {ticker: i for i, ticker in enumerate(tickers)}
    out: list[tuple[int, ...]] = []
    for row in rows:
        market = row["market_ticker"]
        try:
            check_place(market, row["timestamp_ms"], row["sequence_number"])
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
