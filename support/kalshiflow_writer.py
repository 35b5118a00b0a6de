"""Stores a known true book as the kalshiflow recorder did in each of its three eras.

Written from the description of its tables, apart from the code that reads them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from support.postgres import with_connection

SCHEMA = (
    """CREATE TABLE rl_orderbook_sessions (
        session_id bigserial PRIMARY KEY, market_tickers text[] NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz,
        status varchar(20) NOT NULL DEFAULT 'active', websocket_url text,
        connection_metadata jsonb, messages_received bigint DEFAULT 0,
        snapshots_count bigint DEFAULT 0, deltas_count bigint DEFAULT 0,
        last_message_at timestamptz, error_message text,
        created_at timestamptz NOT NULL DEFAULT now(), environment text)""",
    """CREATE TABLE rl_orderbook_snapshots (
        id bigserial PRIMARY KEY,
        session_id bigint NOT NULL REFERENCES rl_orderbook_sessions (session_id),
        market_ticker varchar(100) NOT NULL, timestamp_ms bigint NOT NULL,
        sequence_number bigint NOT NULL, yes_bids jsonb NOT NULL, yes_asks jsonb NOT NULL,
        no_bids jsonb NOT NULL, no_asks jsonb NOT NULL, yes_spread int, no_spread int,
        yes_mid_price numeric, no_mid_price numeric, total_volume bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (session_id, market_ticker, sequence_number))""",
    """CREATE TABLE rl_orderbook_deltas (
        id bigserial PRIMARY KEY,
        session_id bigint NOT NULL REFERENCES rl_orderbook_sessions (session_id),
        market_ticker varchar(100) NOT NULL, timestamp_ms bigint NOT NULL,
        sequence_number bigint NOT NULL, side varchar(3) NOT NULL, action varchar(10) NOT NULL,
        price int NOT NULL, old_size bigint, new_size bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (session_id, market_ticker, sequence_number))""",
)

START_MS = {"A": 1_764_600_000_000, "B": 1_765_700_000_000, "C": 1_766_600_000_000}
"""2025-12-01, 2025-12-14 and 2025-12-24."""

Book = dict[str, dict[int, int]]
""""yes" and "no" -> price in cents -> contracts."""


@dataclass(frozen=True)
class Message:
    """A message as it came from the exchange: a snapshot (`book`) or one signed change."""

    market: str
    ts_ms: int
    seq: int
    book: Book | None = None
    side: str = ""
    price: int = 0
    change: int = 0


@dataclass
class Recording:
    """What the exchange sent, in order."""

    messages: list[Message] = field(default_factory=list)

    @property
    def markets(self) -> list[str]:
        return list(dict.fromkeys(m.market for m in self.messages))

    def books(self, market: str) -> Iterator[tuple[Message, Book]]:
        """Each message of a market with the true book after it."""
        book: Book = {"yes": {}, "no": {}}
        for message in self.messages:
            if message.market != market:
                continue
            if message.book is not None:
                book = {side: dict(levels) for side, levels in message.book.items()}
            else:
                size = book[message.side].get(message.price, 0) + message.change
                book[message.side][message.price] = size
                if not size:
                    del book[message.side][message.price]
            yield message, {side: dict(levels) for side, levels in book.items()}


def random_recording(
    seed: int, era: str, n_markets: int = 3, n_messages: int = 200, resnapshots: int = 3
) -> Recording:
    """A book that wanders over both sides of 50 cents, several changes in a millisecond at times.

    All markets share one run of sequence numbers; some numbers are missing, as control frames
    took them.
    """
    rng = random.Random(seed)
    markets = [f"KXGAME-{era}{i}-T{i}" for i in range(n_markets)]
    books: dict[str, Book] = {}
    out = Recording()
    ts_ms, seq = START_MS[era], 0
    again = set(rng.sample(range(n_markets, n_messages), resnapshots))
    for i in range(n_messages):
        ts_ms += rng.choice((0, 0, 1, 3, 40, 900))
        seq += 1 + (rng.random() < 0.1)
        market = markets[i] if i < n_markets else rng.choice(markets)
        if i < n_markets or i in again:
            books[market] = _random_book(rng)
            copy = {side: dict(levels) for side, levels in books[market].items()}
            out.messages.append(Message(market, ts_ms, seq, book=copy))
            continue
        side, price, change = _random_change(rng, books[market])
        out.messages.append(Message(market, ts_ms, seq, side=side, price=price, change=change))
    return out


def _random_book(rng: random.Random) -> Book:
    centre = rng.randint(25, 75)
    yes = rng.sample(range(1, centre), rng.randint(5, min(20, centre - 1)))
    no = rng.sample(range(1, 100 - centre), rng.randint(5, min(20, 99 - centre)))
    return {
        "yes": {p: rng.randint(1, 5000) for p in yes},
        "no": {p: rng.randint(1, 5000) for p in no},
    }


def _random_change(rng: random.Random, book: Book) -> tuple[str, int, int]:
    side = rng.choice(("yes", "no"))
    other = "no" if side == "yes" else "yes"
    top = 99 - max(book[other], default=0)
    if book[side] and rng.random() < 0.6:
        price = rng.choice(sorted(book[side]))
        size = book[side][price]
        change = -size if rng.random() < 0.4 else rng.randint(1, 500) - min(size, 250)
    else:
        price, change = rng.randint(1, top), rng.randint(1, 3000)
    change = change or 1
    left = book[side].get(price, 0) + change
    book[side][price] = left
    if not left:
        del book[side][price]
    return side, price, change


def rows_of(recording: Recording, era: str) -> tuple[list[Any], list[Any]]:
    """(snapshot rows, delta rows) as the recorder of that era made them."""
    snapshots: list[Any] = []
    deltas: list[Any] = []
    believed: dict[str, Book] = {}  # the recorder's own book
    for m in recording.messages:
        if m.book is not None:
            believed[m.market] = _believed(m.book, era)
            ladders = (json.dumps(ladder) for ladder in _ladders(m.book, era))
            snapshots.append((m.market, m.ts_ms, m.seq, *ladders))
            continue
        if era == "A":
            old, new = (0, m.change) if m.change > 0 else (-m.change, 0)
            action = "add" if m.change > 0 else "remove"
        else:
            levels = believed.setdefault(m.market, {"yes": {}, "no": {}})[m.side]
            old = levels.get(m.price, 0)
            new = max(0, old + m.change)
            levels[m.price] = new
            action = "add" if old == 0 else "remove" if new == 0 else "update"
        deltas.append((m.market, m.ts_ms, m.seq, m.side, action, m.price, old, new))
    return snapshots, deltas


def _believed(book: Book, era: str) -> Book:
    """In era B the recorder forgot what it had written to the ask columns."""
    top = 50 if era == "B" else 99
    return {side: {p: s for p, s in ladder.items() if p <= top} for side, ladder in book.items()}


def _ladders(book: Book, era: str) -> list[dict[str, int]]:
    """yes_bids, yes_asks, no_bids, no_asks."""
    if era == "C":
        return [
            {str(p): s for p, s in book["yes"].items()},
            {str(100 - p): s for p, s in book["no"].items()},
            {str(p): s for p, s in book["no"].items()},
            {str(100 - p): s for p, s in book["yes"].items()},
        ]
    out = []
    for side in ("yes", "no"):
        out.append({str(p): s for p, s in book[side].items() if p <= 50})
        out.append({str(p): s for p, s in book[side].items() if p > 50})
    return out


def create_schema(url: str) -> None:
    """Make the recorder's tables."""

    async def body(connection: Any) -> None:
        for statement in SCHEMA:
            await connection.execute(statement)

    with_connection(url, body)


def write_session(url: str, recording: Recording, era: str, session_id: int | None = None) -> int:
    """Store a recording as the recorder of that era did; its id. The counters stay 0."""
    snapshots, deltas = rows_of(recording, era)
    return write_rows(url, recording.markets, snapshots, deltas, START_MS[era], session_id)


def write_rows(
    url: str,
    markets: Sequence[str],
    snapshots: Sequence[Any],
    deltas: Sequence[Any],
    start_ms: int,
    session_id: int | None = None,
) -> int:
    """Store finished rows under a new (or the given) session id."""
    started = datetime.fromtimestamp(start_ms / 1000, UTC)

    async def body(connection: Any) -> int:
        if session_id is None:
            new_id = await connection.fetchval(
                "SELECT nextval('rl_orderbook_sessions_session_id_seq')"
            )
        else:
            new_id = session_id
        await connection.execute(
            "INSERT INTO rl_orderbook_sessions (session_id, market_tickers, started_at, status) "
            "VALUES ($1, $2, $3, 'closed')",
            new_id,
            list(markets),
            started,
        )
        await connection.executemany(
            "INSERT INTO rl_orderbook_snapshots (session_id, market_ticker, timestamp_ms, "
            "sequence_number, yes_bids, yes_asks, no_bids, no_asks) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [(new_id, *row) for row in snapshots],
        )
        await connection.copy_records_to_table(
            "rl_orderbook_deltas",
            records=[(new_id, *row) for row in deltas],
            columns=[
                "session_id",
                "market_ticker",
                "timestamp_ms",
                "sequence_number",
                "side",
                "action",
                "price",
                "old_size",
                "new_size",
            ],
        )
        return int(new_id)

    return with_connection(url, body)
