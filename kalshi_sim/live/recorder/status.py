"""What a person, a script or a monitor sees of a recorder at work."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from kalshi_sim.text import numbered

_RATE_S: Final = 10.0
_MIB: Final = 2**20
_GIB: Final = 2**30
_PREFIX: Final = "kalshi_sim_recorder_"


@dataclass(frozen=True)
class Status:
    """A recorder at one moment. Times in seconds, counts since it began."""

    connections: int
    """Connected now."""
    connections_wanted: int
    markets_wanted: int
    markets_acknowledged: int
    books_unknown: int
    frames: int
    frames_per_second: float
    last_frame_age_s: float | None
    lag_s: float | None
    """From the exchange's sending time of the latest frame that has one to its receipt."""
    gaps: int
    """Holes in subscriptions, and connections that were lost."""
    gap_market_seconds: float
    """How long books were unknown, summed over markets."""
    connections_lost: int
    reconnects: int
    """Lost connections that were made anew."""
    refused_frames: int
    dropped_frames: int
    queue_bytes: int
    disk_full: bool
    disk_free_bytes: int
    segments: int
    bytes_written: int
    audited: int
    audited_share: float | None
    """Books that agree with REST, of those compared last."""
    uptime_s: float
    problem: str | None
    """What is wrong right now."""


class Rate:
    """Events a second over the last ten."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, total: int) -> float:
        """The rate now.

        Args:
            total: how many there were since the beginning.

        Returns:
            Events a second.
        """
        now = time.monotonic()
        self._seen.append((now, total))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_S:
            self._seen.popleft()
        first, before = self._seen[0]
        return (total - before) / (now - first) if now > first else 0.0


def rows(status: Status) -> list[tuple[str, str]]:
    """The rows of the table: what, and its value in words."""
    s = status
    age = "-" if s.last_frame_age_s is None else f"{s.last_frame_age_s:.1f} s ago"
    lag = "-" if s.lag_s is None else f"{1000 * s.lag_s:,.0f} ms"
    audit = "none yet" if s.audited_share is None else f"{s.audited_share:.1%} of {s.audited}"
    disk = f"{s.disk_free_bytes / _GIB:,.1f} GiB left" + (": FULL" if s.disk_full else "")
    return [
        ("connected", f"{s.connections} of {s.connections_wanted}"),
        ("markets acknowledged", f"{s.markets_acknowledged:,} of {s.markets_wanted:,}"),
        ("books unknown", f"{s.books_unknown:,}"),
        ("frames", f"{s.frames:,} ({s.frames_per_second:,.1f} a second)"),
        ("last frame", age),
        ("lag", lag),
        ("gaps", f"{s.gaps:,} ({s.gap_market_seconds:,.1f} market-seconds unknown)"),
        ("connections lost", f"{s.connections_lost:,} ({s.reconnects:,} made anew)"),
        ("refused, dropped frames", f"{s.refused_frames:,}, {s.dropped_frames:,}"),
        ("queue", f"{s.queue_bytes / _MIB:,.1f} MiB"),
        ("disk", disk),
        ("written", f"{s.bytes_written / _MIB:,.1f} MiB in {numbered(s.segments, 'segment')}"),
        ("books that agree with REST", audit),
        ("problem", s.problem or "none"),
    ]


def plain_line(status: Status) -> str:
    """One line for a log."""
    s = status
    age = "-" if s.last_frame_age_s is None else f"{s.last_frame_age_s:.1f} s"
    line = (
        f"connected {s.connections}/{s.connections_wanted}, markets "
        f"{s.markets_acknowledged}/{s.markets_wanted} ({s.books_unknown} unknown), "
        f"{s.frames_per_second:,.1f} frames/s, last {age}, gaps {s.gaps} "
        f"({s.gap_market_seconds:,.1f} market-s), dropped {s.dropped_frames}, "
        f"disk {s.disk_free_bytes / _GIB:,.1f} GiB"
    )
    return f"{line}, PROBLEM: {s.problem}" if s.problem else line


def prometheus(status: Status) -> str:
    """The text format of Prometheus."""
    out = []
    for name, value in asdict(status).items():
        if name == "problem":
            name, value = "healthy", value is None
        if value is None:
            continue
        out += [
            f"# TYPE {_PREFIX}{name} gauge",
            f"{_PREFIX}{name} {float(value):.10g}",
        ]
    return "\n".join(out) + "\n"


def as_json(status: Status) -> dict[str, Any]:
    """What a line of `--json` holds."""
    return {"at": time.time(), **asdict(status)}
