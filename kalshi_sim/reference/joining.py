"""One stream of a market's frames out of the files of a recording, slow and obvious.

Written from docs/contract.md#2-book-and-events: the order of frames, whose book it is, where it
ends, and where trades stand. For the slow twin of the import (`kalshi_sim.reference.captures`).

Args of the functions here, unless they say more:
    market: ticker of the market.
    files: frames of each file, in its order.
    frames: of the market and of subscriptions, in the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

from kalshi_sim.reference.file_order import one_order
from kalshi_sim.reference.frames import BEHIND_MS, Frame

FRAMES_BEHIND = 1_000


def stream_of(market: str, files: Sequence[Sequence[Frame]]) -> list[Frame | None]:
    """The frames of a market's book and its trades in the order they came; None is a gap."""
    holding = [file for file in files if any(f.is_book(market) for f in file)]
    relevant = [[f for f in file if concerns(f, market)] for file in holding]
    merged = one_order(market, relevant)
    stream = owned(market, put_straight(market, merged))
    for file in files:
        if not any(f.is_book(market) for f in file):
            place_trades(stream, [f for f in file if f.kind == "trade" and f.market == market])
    return without_repeated_trades(stream)


def concerns(frame: Frame, market: str) -> bool:
    """Whether a frame is of the market or of a subscription.

    Args:
        frame: of any kind.
    """
    return frame.market == market or (frame.market is None and "sid" in frame.wire)


def put_straight(market: str, frames: list[Frame]) -> list[Frame]:
    """Late deltas go where their number belongs, repeats go, restarts are counted.

    Returns:
        The frames in the order they were sent.
    """
    out: list[Frame] = []
    connections: dict[int, int] = {}
    highest: dict[tuple[int, int], int] = {}
    for frame in frames:
        if frame.is_book(market) and frame.seq is not None:
            frame.connection = connections.setdefault(frame.sid, 0)
            if frame.seq <= highest.get(lane(frame), -1):
                if any(frame.repeats(f) for f in out):
                    continue
                same = [f for f in out if f.is_book(market) and lane(f) == lane(frame)]
                if not frame.is_snapshot and may_be_late(frame, same):
                    after = next(f for f in same if f.seq is not None and f.seq > frame.seq)
                    out.insert(out.index(after), frame)
                    continue
                frame.connection = connections[frame.sid] = frame.connection + 1
            highest[lane(frame)] = frame.seq
        out.append(frame)
    return out


def may_be_late(frame: Frame, same: list[Frame]) -> bool:
    """Whether a delta's number, unused since the latest snapshot, lies a little behind.

    Args:
        frame: a delta whose number has been passed.
        same: frames before it on its connection and sid.
    """
    since = same[max((i for i, f in enumerate(same) if f.is_snapshot), default=0) :]
    if not since[0].is_snapshot or any(f.seq == frame.seq for f in since):
        return False
    passed = [f for f in since if f.seq is not None and frame.seq is not None and f.seq > frame.seq]
    if not since[0].seq or frame.seq is None or frame.seq < since[0].seq:
        return False
    near = frame.file != passed[0].file or frame.place - passed[0].place <= FRAMES_BEHIND
    latest = max(f.given_ms for f in passed if f.given_ms is not None)
    return near and (frame.given_ms is None or latest - frame.given_ms <= BEHIND_MS)


def lane(frame: Frame) -> tuple[int, int]:
    """(connection, sid).

    Returns:
        Number of the connection, and the sid.
    """
    return frame.connection, frame.sid


def owned(market: str, frames: list[Frame]) -> list[Frame | None]:
    """What the book is made of: frames of its latest snapshot's connection, its ends, trades."""
    out: list[Frame | None] = []
    owner: tuple[int, int] | None = None
    ended = False
    last = 0  # where the owner's last frame lies in `out`, plus one
    for at, frame in enumerate(frames):
        if frame.kind == "trade":
            out.append(frame)
        elif not frame.is_book(market):
            if owner is not None and frame.ends(market, owner[1]):
                later = [f for f in frames[at + 1 :] if f.is_book(market) and lane(f) == owner]
                ended = ended or not later or later[0].is_snapshot
        elif owner is not None and not frame.is_snapshot and lane(frame) != owner:
            ended = ended or not goes_on(market, owner, frames[at + 1 :])
        else:
            if frame.is_snapshot:
                if ended:
                    out.insert(last, None)
                owner, ended = lane(frame), False
            out.append(frame)
            last = len(out)
    if ended:
        out.insert(last, None)
    return out


def goes_on(market: str, owner: tuple[int, int], later: list[Frame]) -> bool:
    """Whether the owner sends another delta before the market's next snapshot.

    Args:
        owner: connection and sid of the book.
        later: frames that follow.
    """
    for frame in later:
        if frame.is_book(market) and (frame.is_snapshot or lane(frame) == owner):
            return not frame.is_snapshot
    return False


def place_trades(stream: list[Frame | None], trades: list[Frame]) -> None:
    """Trades of a file without the book: by receive time, else after the last event so early.

    Args:
        stream: the market's frames in order; the trades are inserted.
        trades: of a file without its book, in the file's order.
    """
    before: list[int] = []
    for trade in trades:
        at = 0
        for i, frame in enumerate(stream):
            if frame is None:
                continue
            if trade.received is not None and frame.received is not None:
                earlier = frame.received <= trade.received
            elif frame.kind == "trade":
                continue
            else:
                earlier = frame.given_ms is not None and frame.given_ms <= trade.events[0].window[1]
            at = i + 1 if earlier else at
        before.append(at)
    places = sorted(zip(before, trades, strict=True), key=lambda x: x[0])
    for inserted, (at, trade) in enumerate(places):
        stream.insert(at + inserted, trade)


def without_repeated_trades(stream: list[Frame | None]) -> list[Frame | None]:
    """Each trade once, by its `trade_id`."""
    out: list[Frame | None] = []
    seen: set[str] = set()
    for frame in stream:
        if frame is not None and frame.kind == "trade":
            name = frame.wire["msg"].get("trade_id")
            if name is not None and name in seen:
                continue
            seen.add(name)
        out.append(frame)
    return out
