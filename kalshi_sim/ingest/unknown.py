"""What must not be overlooked: unknown envelopes, unknown keys for levels, other products' frames.

The decoder reads only what it knows. These look at the few lines where that could lose a book.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from kalshi_sim.ingest.wire_time import is_time

BOOK_TYPES: Final = frozenset({"orderbook_snapshot", "orderbook_delta", "trade"})
CONTROL_TYPES: Final = frozenset(
    {
        "ok",
        "subscribed",
        "unsubscribed",
        "error",
        "ticker",
        "ticker_v2",
        "fill",
        "user_order",
        "market_position",
        "event_lifecycle",
        "event_fee_update",
        "list_subscriptions",
    }
)
"""Frames of the exchange that hold no frame of a book, whatever words are in them."""
RECEIVE_KEYS: Final = ("recv_ts_ns", "recv_ts_us", "recv_ts_ms", "recv_ts", "received_at")
_FRAME_KEYS: Final = frozenset(
    {"type", "sid", "seq", "msg", "id", "raw", "sending_ts_ms", *RECEIVE_KEYS}
)
_BOOK_WORDS: Final = (b"orderbook_snapshot", b"orderbook_delta", b"trade")
_LEVEL_KEYS: Final = frozenset(
    {"yes_dollars_fp", "no_dollars_fp", "yes_dollars", "no_dollars", "yes", "no"}
)
_DEEPEST: Final = 3
"""Envelopes in envelopes that are looked into."""


def records(lines: bytes, n: int) -> list[bytes]:
    """The `n` lines that are not blank.

    Args:
        lines: text.
        n: how many lines of it must not be blank.

    Raises:
        ValueError: there are more or fewer of them.
    """
    out = [line for line in lines.split(b"\n") if line.strip()]
    if len(out) != n:
        raise ValueError("several frames on one line")
    return out


def known_frame(line: bytes) -> dict[str, Any]:
    """The frame of a line, out of its envelope `raw`; empty if it is none."""
    found: object = msgspec.json.decode(line)
    while isinstance(found, dict) and found.get("raw") is not None:
        found = found["raw"]
        if isinstance(found, str):
            found = msgspec.json.decode(found)
    return found if isinstance(found, dict) else {}


def other_product(frame: dict[str, Any]) -> str | None:
    """The ticker of a book frame of perpetual futures (`bid` and `ask`), None of any other."""
    message = frame.get("msg")
    if not isinstance(message, dict) or not str(frame.get("type")).startswith("orderbook_"):
        return None
    if message.get("side") in ("bid", "ask") or (
        ("bid" in message or "ask" in message) and not _LEVEL_KEYS & message.keys()
    ):
        return str(message.get("market_ticker") or "a market without a ticker")
    return None


def check_levels(lines: Sequence[bytes], lacking: Sequence[int]) -> None:
    """Refuse snapshots that lack a side and have levels under keys that are not known.

    Args:
        lines: one frame each.
        lacking: which of them are snapshots that lack a side.

    Raises:
        ValueError: one does.
    """
    for i in lacking:
        _check_levels(lines[i])


def _check_levels(line: bytes) -> None:
    frame = known_frame(line)
    message = frame.get("msg") if frame.get("type") else None
    message = message or frame.get("orderbook_fp") or frame.get("orderbook")
    if not isinstance(message, dict):
        return
    ticker = other_product(frame)
    if ticker is not None:
        raise ValueError(f"{ticker}: a book of bid and ask is none of yes and no")
    unknown = [k for k, v in message.items() if k not in _LEVEL_KEYS and isinstance(v, list | dict)]
    if unknown:
        raise ValueError(
            f"a snapshot of {message.get('market_ticker')} with levels under "
            f"{', '.join(map(repr, unknown))}; known are yes_dollars_fp and no_dollars_fp, "
            "yes_dollars and no_dollars, yes and no: rename them"
        )


def in_known_envelopes(
    lines: list[bytes], odd: Sequence[int], noticed: Counter[str]
) -> bytes | None:
    """The lines with frames of a book in unknown envelopes put into the known one.

    Args:
        lines: one frame each.
        odd: which of them are of no known type.
        noticed: sentences on what of the envelopes was not read are counted here.

    Returns:
        None if there is no such envelope.

    Raises:
        ValueError: an envelope holds several frames.
    """
    found = False
    for i in odd:
        inner, said = _unwrapped(lines[i])
        if inner is not None:
            lines[i], found = inner, True
        if said:
            noticed[said] += 1
    return b"\n".join(lines) if found else None


def _unwrapped(line: bytes) -> tuple[bytes | None, str]:
    """A line in the known envelope, and what was not read; (None, "") without a book's frame.

    Raises:
        ValueError: there are several.
    """
    if not any(word in line for word in _BOOK_WORDS):
        return None, ""
    outer = msgspec.json.decode(line)
    found = list(_frames(outer, (), _DEEPEST))
    if not found:
        return None, ""
    if len(found) > 1:
        raise ValueError(
            f"an envelope with {len(found)} frames, in {', '.join('.'.join(p) for p, _ in found)}; "
            "write a frame a line"
        )
    path, frame = found[0]
    envelope = _around(outer, path)
    times = {k: v for k, v in envelope.items() if k in RECEIVE_KEYS}
    said = "" if times else _unread_times(envelope, ".".join(path))
    return msgspec.json.encode({**times, "raw": frame}), said


def unread_in_first(first: dict[str, Any]) -> str:
    """A sentence on what looks like a receive time around a file's first frame, and is not read.

    Empty if there is none, or a known one beside it.
    """
    if "raw" in first:
        return _unread_times(first, "raw")
    return _unread_times(first, ".") if "type" in first and "msg" in first else ""


def _unread_times(envelope: dict[str, Any], field: str) -> str:
    if any(envelope.get(key) is not None for key in RECEIVE_KEYS):
        return ""
    like = [k for k, v in envelope.items() if k not in _FRAME_KEYS and is_time(v)]
    if not like:
        return ""
    return (
        f"{' and '.join(map(repr, like))} may be when a frame was received, and was not read; if "
        f"so, import with --envelope {field}=recv:{like[0]}"
    )


def _frames(found: object, path: tuple[str, ...], deeper: int) -> Iterator[tuple[Any, Any]]:
    """(path, frame) of every frame of a book in the values of `found`."""
    if isinstance(found, str) and found.lstrip().startswith(("{", "[")):
        try:
            found = msgspec.json.decode(found)
        except (msgspec.MsgspecError, ValueError):
            return
    if isinstance(found, dict) and path and found.get("type") in _TYPES and "msg" in found:
        yield path, found
    elif isinstance(found, dict) and deeper:
        for key, value in found.items():
            yield from _frames(value, (*path, key), deeper - 1)
    elif isinstance(found, list) and deeper:
        for i, value in enumerate(found):
            yield from _frames(value, (*path, str(i)), deeper - 1)


class _Hashable(frozenset[str]):
    """A set of texts that may be asked about anything."""

    def __contains__(self, item: object) -> bool:
        return isinstance(item, str) and super().__contains__(item)


_TYPES: Final = _Hashable(BOOK_TYPES | {"market_lifecycle_v2"})


def _around(outer: Any, path: Sequence[str]) -> dict[str, Any]:
    """The keys of all envelopes around a frame, the inner ones' values first."""
    out: dict[str, Any] = {}
    for key in path:
        if isinstance(outer, str):
            outer = msgspec.json.decode(outer)
        if isinstance(outer, dict):
            out |= {k: v for k, v in outer.items() if k != key}
            outer = outer[key]
        else:
            outer = outer[int(key)]
    return out
