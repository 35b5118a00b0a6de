"""Which time a frame has: the exchange's own, when it was sent, or when it was received."""

from __future__ import annotations

import numpy as np

from kalshi_sim.ingest.batch import Batch
from kalshi_sim.ingest.frames import Frame, Message
from kalshi_sim.ingest.wire_time import WireNumber, milliseconds, scalar_ms, wire_times
from kalshi_sim.session import NO_TIME, Int64Array


def set_times(
    out: Batch, rows: Int64Array, messages: list[Message], recv: Int64Array, frames: list[Frame]
) -> None:
    """Write the times of some frames: the exchange's if stated, else when they were received.

    Args:
        out: its `ts_ms` and `flags` are written at `rows`.
        rows: int64 [n] which frames.
        messages: their messages, n of them.
        recv: int64 [frames] receive times in ms, NO_TIME if unknown.
        frames: all frames.
    """
    fine = [m.ts_ms for m in messages]
    kinds = set(map(type, fine))
    if kinds == {int}:
        out.ts_ms[rows] = np.array(fine, dtype=np.int64)
        return
    if kinds == {type(None)}:
        times, flags = wire_times([m.ts for m in messages])
    else:
        times, flags = wire_times([m.ts if m.ts_ms is None else None for m in messages])
        for i, value in enumerate(fine):
            if value is not None:
                times[i] = milliseconds(value)
    missing = np.flatnonzero(times == NO_TIME)
    for i in missing.tolist():
        row = int(rows[i])
        times[i] = recv[row]
        sent = frames[row].sending_ts_ms
        if sent is not None:
            times[i] = milliseconds(sent)
    out.ts_ms[rows] = times
    out.flags[rows] = flags


def message_time(message: object, recv: int, sent: WireNumber) -> int:
    """A message's own time in ms, else when its frame was sent, else when it was received.

    Args:
        message: body of the frame.
        recv: when it was received, in ms since 1970 UTC; NO_TIME if unknown.
        sent: the frame's `sending_ts_ms`, None if it has none.
    """
    if isinstance(message, Message):
        if message.ts_ms is not None:
            return milliseconds(message.ts_ms)
        if message.ts is not None:
            return scalar_ms(message.ts)[0]
    if sent is not None:
        return milliseconds(sent)
    return recv


def lifecycle_time(message: Message, recv: int, sent: WireNumber) -> int:
    """A change's own time, else when it was received, else when it was sent.

    Args:
        message: body of the frame.
        recv: when it was received, in ms since 1970 UTC; NO_TIME if unknown.
        sent: the frame's `sending_ts_ms`, None if it has none.
    """
    stated = message_time(message, NO_TIME, None)
    if stated != NO_TIME or recv != NO_TIME or sent is None:
        return recv if stated == NO_TIME else stated
    return milliseconds(sent)
