"""Frames of one market's stream that repeat an earlier one."""

from __future__ import annotations

import numpy as np

from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import NO_TIME, Int64Array


def repeated_by_content(
    frames: Frames, rows: Int64Array, seq: Int64Array, recorder: Int64Array
) -> dict[int, int]:
    """Frames that repeat an earlier one, by what they say; snapshots only beside such deltas.

    Args:
        frames: all frames of the import.
        rows: int64 [n] book frames of a market in order of arrival.
        seq: int64 [n] their numbers.
        recorder: int64 [n] which recorder wrote each.

    Returns:
        Repeated frames -> the frame they repeat.
    """
    timed = (frames.batch.ts_ms[rows] != NO_TIME) & (seq >= 0)
    deltas = ~frames.is_snapshot[rows]
    first: dict[tuple[int, int], int] = {}
    message = frames.message[rows].tolist()
    from_where = recorder.tolist()
    original: dict[int, int] = {}
    snapshots: dict[tuple[int, int], list[int]] = {}
    for at in range(len(rows)):
        key = (from_where[at], message[at])
        if not deltas[at]:
            snapshots.setdefault(key, []).append(at)
        elif timed[at]:
            earlier = first.setdefault(key, at)
            if earlier != at:
                original[at] = earlier
    again = [(at, places) for places in snapshots.values() for at in places if len(places) > 1]
    line = frames.batch.recv_ns[rows]
    for step, ordered in ((1, sorted(again, reverse=True)), (-1, sorted(again))):
        for at, places in ordered:
            beside = original.get(at + step)
            if at in original or beside is None or beside - step not in places:
                continue
            if beside - step < at and line[beside - step] == line[at]:
                original[at] = beside - step
    return {int(rows[at]): int(rows[earlier]) for at, earlier in original.items()}


def repeated_without_seq(frames: Frames, rows: Int64Array, seq: Int64Array) -> dict[int, int]:
    """Runs without numbers that come again at once, where time steps back: files joined by cat.

    Args:
        frames: all frames of the import.
        rows: int64 [n] book frames of a market in order of arrival.
        seq: int64 [n] their numbers.

    Returns:
        Repeated frames -> the frame they repeat.
    """
    times = frames.batch.ts_ms[rows]
    recorded = np.where(times == NO_TIME, np.iinfo(np.int64).min, times)
    back = np.flatnonzero((np.diff(recorded) < 0) & (seq[1:] < 0) & (times[1:] != NO_TIME)) + 1
    if len(back) == 0:
        return {}
    line = frames.line[rows]
    out: dict[int, int] = {}
    for start in back.tolist():
        for length in (start - np.flatnonzero(line[:start] == line[start])).tolist():
            if length > 1 and np.array_equal(
                line[start - length : start], line[start : start + length]
            ):
                out.update(
                    zip(
                        rows[start : start + length].tolist(),
                        rows[start - length : start].tolist(),
                        strict=True,
                    )
                )
                break
    return out
