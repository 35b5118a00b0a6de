"""Random walks of one market's book, and sessions made of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kalshi_sim.session import (
    NO_TIME,
    EventKind,
    Events,
    FeeUpdate,
    GridUpdate,
    MarketInfo,
    Pause,
    Session,
)
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT, mirror

CENT = STORED_PER_CENT
STYLES = ("calm", "bursty", "wild", "trend", "thin", "queue", "queue")
START_TIMES = (
    1_773_864_000_000,  # 2026-03-18 20:00 UTC: fees in whole cents
    1_779_926_395_000,  # 2026-05-27 23:59:55 UTC: the last seconds of whole-cent fees
    1_781_550_000_000,  # 2026-06-15 19:00 UTC: fees in 1/100 cent on finer grids
    1_762_063_195_000,  # 2025-11-02 05:59:55 UTC: daylight saving ends on this morning
)
FINE_GRIDS = (
    None,
    ((0, PRICE_SCALE, 10),),
    ((0, PRICE_SCALE, 1),),
    ((0, 1000, 10), (1000, 9000, 100), (9000, PRICE_SCALE, 10)),
    ((0, 5000, 50), (5000, PRICE_SCALE, 20)),
    ((300, 5000, 10), (6000, 9500, 50)),
)
CENT_GRIDS = (
    None,
    None,
    ((0, PRICE_SCALE, CENT),),
    ((0, PRICE_SCALE, 2 * CENT),),
    ((4 * CENT, 60 * CENT, CENT), (70 * CENT, 95 * CENT, 5 * CENT)),
    ((0, 1000, CENT), (1000, 9000, 5 * CENT), (9000, PRICE_SCALE, CENT)),
)


@dataclass(frozen=True)
class MarketKnobs:
    """What a drawn market is like."""

    seed: int
    moments: int
    style: str
    fine: bool
    whole_sizes: bool
    nasty: bool
    """Gaps, clamps, inversions, crossed and empty moments take part."""


@dataclass
class MarketWalk:
    """A market's book while its events are made up; sizes in hundredths of a contract."""

    knobs: MarketKnobs
    start_ms: int
    trades_recorded: bool
    rng: random.Random = field(init=False)
    ts: int = field(init=False)
    unit: int = field(init=False)
    mid: int = field(init=False)
    book: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    dropped: set[tuple[int, int]] = field(default_factory=set)
    """(side, price) of levels whose size is unknown until the next snapshot."""
    events: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    """(kind, side, price, size, traded, ts_ms)."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.knobs.seed)
        self.ts = self.start_ms
        self.unit = self.rng.choice((1, 5, 10, 10)) if self.knobs.fine else CENT
        highest = PRICE_SCALE // self.unit
        near_edge = self.rng.choice((3, highest - 3))
        anywhere = self.rng.randrange(4, highest - 4)
        self.mid = self.rng.choice((highest // 2, anywhere, anywhere, near_edge))

    # -- small parts ---------------------------------------------------------------------------

    def size(self) -> int:
        """A level's or change's size: small, so that orders of a few contracts interact."""
        contracts = self.rng.choice((1, 2, 3, 5, 8, 10, 12, 20, 40, 150))
        if self.knobs.whole_sizes:
            return contracts * SIZE_SCALE
        return max(1, contracts * SIZE_SCALE + self.rng.randrange(-150, 150))

    def price(self, side: int, distance: int) -> int | None:
        """The price so many steps behind the middle, if there is one."""
        mid = self.mid if side == 0 else PRICE_SCALE // self.unit - self.mid
        price = (mid - distance) * self.unit
        return price if 0 < price < PRICE_SCALE else None

    def best(self, side: int) -> int | None:
        """The best price of a side that holds anything."""
        return max((p for p, size in self.book[side].items() if size > 0), default=None)

    def emit(
        self,
        kind: EventKind,
        side: int = 0,
        price: int = 0,
        size: int = 0,
        traded: int = 0,
        ts: int | None = None,
    ) -> None:
        """Add one event."""
        self.events.append((kind, side, price, size, traded, self.ts if ts is None else ts))

    def change(self, side: int, price: int, size: int, traded: int = 0) -> None:
        """One delta, at a time that now and then runs backwards."""
        ts = self.ts
        if self.knobs.nasty and self.rng.random() < 0.03:
            ts -= self.rng.choice((1, 7, 300))
        if (side, price) in self.dropped:
            self.emit(EventKind.DROP_LEVEL, side, price, ts=ts)
            self.book[side].pop(price, None)
            return
        self.emit(EventKind.DELTA, side, price, size, traded, ts)
        self.book[side][price] = max(0, self.book[side].get(price, 0) + size)

    # -- what happens --------------------------------------------------------------------------

    def snapshot(self) -> None:
        """A new book around the middle."""
        self.emit(EventKind.SNAPSHOT)
        self.dropped.clear()
        thin = self.knobs.style == "thin"
        for side in (0, 1):
            self.book[side].clear()
            count = self.rng.choice((0, 1, 1, 2) if thin else (1, 2, 4, 7))
            for distance in self.rng.sample(range(1, 10), count):
                price = self.price(side, distance)
                if price is not None:
                    self.book[side][price] = self.size()
                    self.emit(EventKind.LEVEL, side, price, self.book[side][price])

    def add(self) -> None:
        """Somebody quotes, never into the other side."""
        side = self.rng.randrange(2)
        near = self.knobs.style == "queue"
        price = self.price(
            side, self.rng.choice((1, 1, 1, 2) if near else (1, 1, 2, 2, 3, 4, 6, 9))
        )
        opposite = self.best(1 - side) or 0
        if price is not None and price + opposite < PRICE_SCALE:
            self.change(side, price, self.size())

    def remove(self) -> None:
        """Somebody cancels; in nasty markets sometimes more than there is."""
        side = self.rng.randrange(2)
        held = [p for p, size in self.book[side].items() if size > 0]
        if not held:
            return
        price = max(held) if self.rng.random() < 0.4 else self.rng.choice(held)
        there = self.book[side][price]
        size = there if self.rng.random() < 0.4 else self.rng.randint(1, there)
        if self.knobs.nasty and self.rng.random() < 0.1:
            size = there + self.size()
        self.change(side, price, -size)

    def trade(self) -> None:
        """Somebody takes from the best levels of a side."""
        side = self.rng.randrange(2)
        left = self.size() * self.rng.choice((1, 1, 1, 4))
        while left > 0:
            price = self.best(side)
            if price is None:
                return
            part = min(left, self.book[side][price])
            self.take(side, price, part)
            left -= part

    def take(self, side: int, price: int, part: int) -> None:
        """One trade and the removal it causes, in either order, or the removal alone."""
        known = self.trades_recorded and self.rng.random() < 0.9
        first = self.rng.random() < 0.2
        # A trade may be matched to a removal that takes more than the trade did.
        traded = part if self.rng.random() < 0.8 else self.rng.randint(1, part)
        if known and first:
            self.emit(EventKind.TRADE, side, price, traded, traded)
        self.change(side, price, -part, traded if known else 0)
        if known and not first:
            late = self.rng.choice((0, 0, 0, 40))
            self.emit(EventKind.TRADE, side, price, traded, traded, self.ts + late)

    def unmatched_trade(self) -> None:
        """A trade without its removal."""
        if self.trades_recorded:
            self.emit(EventKind.TRADE, self.rng.randrange(2), self.unit, self.size())

    def move(self) -> None:
        """The middle moves: levels in its way are taken or cancelled, new ones follow."""
        up = 1 if self.knobs.style == "trend" or self.rng.random() < 0.5 else -1
        steps = 1 if self.knobs.style in ("calm", "trend") else self.rng.choice((1, 2, 3, 5))
        highest = PRICE_SCALE // self.unit
        self.mid = min(highest - 1, max(1, self.mid + up * steps))
        falling = 1 if up > 0 else 0
        limit = self.price(falling, 0)
        for price in sorted(self.book[falling], reverse=True):
            if limit is not None and price < limit:
                break
            if self.book[falling][price] > 0:
                act = self.take if self.rng.random() < 0.6 else self.cancel
                act(falling, price, self.book[falling][price])
        follow = self.price(1 - falling, 1)
        opposite = self.best(falling) or 0
        if follow is not None and follow + opposite < PRICE_SCALE and self.rng.random() < 0.8:
            self.change(1 - falling, follow, self.size())

    def cancel(self, side: int, price: int, part: int) -> None:
        """A removal that is no trade."""
        self.change(side, price, -part)

    def cross(self) -> None:
        """A bid that meets the other side, gone again a moment later or not."""
        side = self.rng.randrange(2)
        opposite = self.best(1 - side)
        if opposite is None:
            return
        price = mirror(opposite, PRICE_SCALE) + self.rng.choice((0, 0, self.unit))
        if not 0 < price < PRICE_SCALE:
            return
        size = self.size()
        self.change(side, price, size)
        self.wait()
        if self.rng.random() < 0.7:
            self.change(side, price, -size)
        else:
            self.change(1 - side, opposite, -self.book[1 - side][opposite])

    def empty(self) -> None:
        """One side or both lose every level."""
        for side in self.rng.choice(((0,), (1,), (0, 1))):
            for price, size in list(self.book[side].items()):
                if size > 0:
                    self.change(side, price, -size)

    def gap(self) -> None:
        """Messages are missing; what comes next is void until a snapshot."""
        self.emit(EventKind.GAP)
        for _ in range(self.rng.randrange(3)):
            self.wait()
            self.emit(EventKind.DELTA, 0, self.price(0, 1) or self.unit, self.size())
        self.wait()
        self.snapshot()

    def drop_level(self) -> None:
        """A level becomes unknown; every later change of it is stored so too."""
        side = self.rng.randrange(2)
        price = self.best(side)
        if price is not None:
            self.dropped.add((side, price))
            self.change(side, price, 0)

    def wait(self) -> None:
        """Time passes, or does not."""
        waits = {
            "calm": (1, 5, 40, 400, 2_000, 61_000, 310_000),
            "bursty": (0, 0, 1, 1, 2, 9, 700),
            "wild": (0, 1, 1, 3, 30, 9_000),
            "trend": (1, 1, 2, 20),
            "thin": (0, 1, 250, 10_000, 60_000),
            "queue": (0, 0, 0, 1, 1, 300),
        }
        self.ts += self.rng.choice(waits[self.knobs.style])

    def run(self) -> list[tuple[int, int, int, int, int, int]]:
        """All events of the market."""
        if self.knobs.nasty and self.rng.random() < 0.2:
            self.emit(EventKind.DELTA, 0, self.unit, self.size())
        self.snapshot()
        common = [self.add] * 6 + [self.remove] * 4 + [self.trade] * 4 + [self.unmatched_trade]
        moving = {"calm": 1, "bursty": 2, "wild": 5, "trend": 12, "thin": 2, "queue": 1}
        common += [self.add, self.trade, self.remove] * (3 if self.knobs.style == "queue" else 0)
        common += [self.move] * moving[self.knobs.style]
        rare = [self.cross, self.cross, self.empty, self.gap, self.drop_level, self.snapshot]
        for _ in range(self.knobs.moments):
            self.wait()
            rarely = self.knobs.nasty and self.rng.random() < 0.1
            self.rng.choice(rare if rarely else common)()
        return self.events


def event_table(rows: list[tuple[int, int, int, int, int, int]]) -> Events:
    """Events from (kind, side, price, size, traded, ts_ms) rows."""
    names = ("kind", "side", "price", "size", "traded", "ts_ms")
    columns: dict[str, Any] = {n: [row[i] for row in rows] for i, n in enumerate(names)}
    return Events.from_columns(**columns)


def make_session(
    markets: list[tuple[MarketInfo, list[tuple[int, int, int, int, int, int]]]],
    *,
    session_id: int = 1,
    trades_recorded: bool = True,
    first_book_ms: int | None = None,
    last_message_ms: int | None = None,
) -> Session:
    """A session from markets and their event rows; its ends are those of the events."""
    book_times = [
        row[5]
        for _, rows in markets
        for row in rows
        if row[0] in (EventKind.SNAPSHOT, EventKind.DELTA)
    ]
    parts = [event_table(rows) for _, rows in markets]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Session(
        session_id=session_id,
        markets=tuple(info for info, _ in markets),
        events=Events.concatenate(parts),
        market_offsets=offsets.astype(np.int64),
        first_book_ms=min(book_times, default=0) if first_book_ms is None else first_book_ms,
        last_message_ms=max(book_times, default=0) if last_message_ms is None else last_message_ms,
        trades_recorded=trades_recorded,
    )


def market_info(rng: random.Random, walk: MarketWalk, ticker: str, *, changing: bool) -> MarketInfo:
    fine = walk.knobs.fine
    info = MarketInfo(
        ticker=ticker,
        sub_penny=fine,
        price_ranges=rng.choice(FINE_GRIDS if fine else CENT_GRIDS),
        taker_multiplier=rng.choice((None, None, 5_000, 0, 12_345)),
        maker_multiplier=rng.choice((None, 10_000, 10_000, 2_500)),
        fee_unit=rng.choice((None, None, CENT, 1 if fine else 2 * CENT)),
    )
    if rng.random() < 0.6:
        value = rng.choice((0, PRICE_SCALE, 37 * CENT, 3_333 if fine else 64 * CENT))
        known = rng.choice((None, walk.ts - 1, walk.ts + 10**9))
        info = replace(info, settlement_value=value, settlement_known_ms=known)
    if rng.random() < 0.4:
        start, length = walk.start_ms, max(1, walk.ts - walk.start_ms)
        when = [start + int(length * share) for share in (0.6, 0.8, 0.9, 2.0)]
        updates = sorted(
            (start + rng.randrange(length), rng.choice(when)) for _ in range(rng.randrange(3))
        )
        close = rng.choice((None, *when[1:]))
        info = replace(info, close_time_ms=close, close_updates=tuple(updates))
    if changing:
        return with_changes(rng, info, walk, often=1.0)
    return with_changes(rng, info, walk) if rng.random() < 0.6 else info


def with_changes(
    rng: random.Random, info: MarketInfo, walk: MarketWalk, *, often: float = 0.6
) -> MarketInfo:
    """The market with changes of its grid and fees and with pauses, at, before and between rows.

    `often` is how likely each of the three is.
    """
    times = [row[5] for row in walk.events]

    def moments(count: int) -> list[int]:
        found = [rng.choice(times) + rng.choice((-1, 0, 0, 1, 7, 500)) for _ in range(count)]
        return sorted(found)

    if rng.random() < often:
        grids = [g for g in (FINE_GRIDS if walk.knobs.fine else CENT_GRIDS) if g is not None]
        updates = tuple(GridUpdate(at, rng.choice(grids)) for at in moments(rng.randrange(1, 4)))
        info = replace(
            info,
            first_price_ranges=info.price_ranges,
            grid_updates=updates,
            price_ranges=updates[-1].price_ranges,
        )
    if rng.random() < often:
        multipliers = (None, 0, 2_500, 10_000, 12_345, 50_000)
        known = [rng.choice((NO_TIME, at)) for at in moments(1)] + moments(rng.randrange(3))
        info = replace(
            info,
            fee_updates=tuple(
                FeeUpdate(at, rng.choice(multipliers), rng.choice(multipliers))
                for at in sorted(known)
            ),
        )
    if rng.random() < often:
        ends = moments(2 * rng.randrange(1, 4))
        pauses = [Pause(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)]
        if rng.random() < 0.2:
            pauses[-1] = Pause(pauses[-1].start_ms)
        info = replace(info, pauses=tuple(pauses))
    return info
