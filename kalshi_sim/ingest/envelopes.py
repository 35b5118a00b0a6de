"""What a recorder puts around frames: an envelope, and in it when the frame was received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from kalshi_sim.ingest.frames import Frame, FrameHead
from kalshi_sim.ingest.wire_time import LAST_MS, NS_PER_MS, OPENED_MS, not_a_time, wire_times
from kalshi_sim.session import NO_TIME, Int64Array

FRAME: Final = msgspec.json.Decoder(Frame)
_US_PER_MS: Final = 1_000


def unwrap(outer: list[Frame]) -> list[Frame]:
    """The frames inside envelopes, all decoded in one go; others as they are.

    Raises:
        ValueError: an envelope holds something else.
    """
    wrapped = [f.raw for f in outer if isinstance(f.raw, str)]
    if not wrapped:
        return [f.raw if isinstance(f.raw, Frame) else f for f in outer]
    if any("\n" in raw for raw in wrapped):
        inner = [FRAME.decode(raw) for raw in wrapped]
    else:
        inner = FRAME.decode_lines("\n".join(wrapped))
    if len(inner) != len(wrapped):
        raise ValueError("an envelope that holds no frame, or several")
    if len(inner) == len(outer):
        return inner
    following = iter(inner)
    return [
        next(following) if isinstance(f.raw, str) else f if f.raw is None else f.raw for f in outer
    ]


def receive_times(frames: Sequence[Frame | FrameHead]) -> Int64Array:
    """When each frame was received, in ms, int64 [n]; NO_TIME where its envelope does not say.

    Raises:
        ValueError: one is not a time.
    """
    out = no_times(len(frames))
    for name, per_ms, unit in (
        ("recv_ts_ns", NS_PER_MS, "nanoseconds"),
        ("recv_ts_us", _US_PER_MS, "microseconds"),
        ("recv_ts_ms", 1, "milliseconds"),
    ):
        values = [getattr(f, name) for f in frames]
        if values.count(None) < len(values):
            known = [i for i, v in enumerate(values) if v is not None]
            ms = np.array([int(values[i]) // per_ms for i in known], dtype=np.int64)
            odd = (ms < OPENED_MS) | (ms >= LAST_MS)
            if odd.any():
                value = values[known[int(np.argmax(odd))]]
                raise ValueError(f"{name}: {not_a_time(value, unit)}")
            out[known] = ms
    for name in ("recv_ts", "received_at"):
        values = [getattr(f, name) for f in frames]
        if values.count(None) < len(values):
            times, _ = wire_times(values)
            odd = (times != NO_TIME) & ((times < OPENED_MS) | (times >= LAST_MS))
            if odd.any():
                raise ValueError(f"{name}: {not_a_time(int(times[np.argmax(odd)]))}")
            out = np.where(times == NO_TIME, out, times)
    return out


def receive_order(frames: Sequence[Frame | FrameHead], recv: Int64Array) -> Int64Array:
    """Receive times as finely as they are stated: what orders frames.

    Args:
        frames: decoded envelopes.
        recv: int64 [n] receive times in ms since 1970 UTC, NO_TIME where none is stated.

    Returns:
        int64 [n] ns since 1970 UTC, NO_TIME where none is stated.
    """
    out = np.where(recv == NO_TIME, NO_TIME, recv * NS_PER_MS)
    for name, ns in (("recv_ts_us", NS_PER_MS // _US_PER_MS), ("recv_ts_ns", 1)):
        values = [getattr(f, name) for f in frames]
        if values.count(None) < len(values):
            known = [i for i, v in enumerate(values) if v is not None]
            out[known] = [int(values[i]) * ns for i in known]
    return out


def no_times(n: int) -> Int64Array:
    """NO_TIME `n` times, int64 [n]."""
    return np.full(n, NO_TIME, dtype=np.int64)
