"""Which markets are held out for evaluation: whole events, or whole sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError


class HasEvent(Protocol):
    """What the split needs to know of a view."""

    @property
    def session_id(self) -> int:
        """The session it comes from."""
        ...

    @property
    def event(self) -> str:
        """The event its market belongs to (both teams of a game share one)."""
        ...


@dataclass(frozen=True)
class Split:
    """View indices, ascending int64: `train` for learning, `heldout` for evaluation only."""

    train: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.int64]
    rule: str
    """What was held out and how it was chosen, for people."""


def set_aside(
    views: Sequence[HasEvent], sessions: Sequence[int], fraction: float, seed: int
) -> Split:
    """Keep events for a last evaluation, away from all that is trained or chosen by.

    Args:
        views: those of the tape, in its order.
        sessions: ids of the sessions whose events are kept; if empty, a share of all events is.
        fraction: share of the events to keep, 0 for none.
        seed: decides which.

    Returns:
        Indices of the views: `heldout` are those kept. Where sessions are named, further views
        of their events are on neither side.

    Raises:
        ConfigError: nothing is left on one of the two sides.
    """
    if not sessions:
        return split_by_event(views, fraction, seed)
    out = np.array([v.session_id in sessions for v in views], dtype=np.bool_)
    events = {v.event for v, kept in zip(views, out.tolist(), strict=True) if kept and v.event}
    seen = np.array([v.event in events for v in views], dtype=np.bool_)
    named = ",".join(map(str, sessions))
    if not out.any():
        raise ConfigError(f"final_sessions={named}: none of these sessions has a market to keep")
    if (out | seen).all():
        raise ConfigError(f"final_sessions={named} leaves no market to train on")
    return Split(np.flatnonzero(~out & ~seen), np.flatnonzero(out), f"sessions {named}")


def split_by_session(views: Sequence[HasEvent], eval_sessions: Sequence[int]) -> Split:
    """Hold out all views of some sessions.

    Args:
        views: those of the tape, in its order.
        eval_sessions: ids of the sessions.

    Returns:
        Indices of the views on both sides.

    Raises:
        ConfigError: nothing is left on one of the two sides.
    """
    out = np.array([v.session_id in eval_sessions for v in views], dtype=np.bool_)
    named = ",".join(map(str, eval_sessions))
    if not out.any():
        raise ConfigError(f"eval_sessions={named}: none of these sessions has a market to hold out")
    if out.all():
        raise ConfigError(f"eval_sessions={named} leaves no market to train on")
    return Split(np.flatnonzero(~out), np.flatnonzero(out), f"sessions {named}")


def split_by_event(views: Sequence[HasEvent], fraction: float, seed: int) -> Split:
    """Hold out a share of the events, whole, chosen by `seed` alone.

    An event is on the same side whatever other events there are around it as far as their number
    allows: events are ranked by a hash of seed and name, and the first ones are held out. At
    least one event is held out and one is left, unless there is only one.

    Args:
        views: those of the tape, in its order.
        fraction: share of the events to hold out, 0 for none.
        seed: decides which.

    Returns:
        Indices of the views on both sides.
    """
    events = sorted({v.event for v in views})
    ranked = sorted(events, key=lambda name: _hash(seed, name))
    count = min(max(1, round(fraction * len(events))), len(events) - 1) if fraction > 0 else 0
    chosen = set(ranked[:count])
    out = np.array([v.event in chosen for v in views], dtype=np.bool_)
    rule = f"{count} of {len(events)} events, seed {seed}" if count else "none"
    return Split(np.flatnonzero(~out), np.flatnonzero(out), rule)


def split_by_time(
    views: Sequence[HasEvent],
    spans: npt.NDArray[np.int64],
    at_ms: int,
    until_ms: int | None = None,
) -> Split:
    """Hold out the events that begin at or after a time, and train on those that are over before.

    Args:
        views: the markets.
        spans: int64 [views, 2] first and last time of each, in ms.
        at_ms: the time.
        until_ms: leave out events that begin at or after this one.

    Returns:
        The split; events that go on at that time are on neither side.

    Raises:
        ConfigError: nothing is on one of the two sides.
    """
    names = [v.event for v in views]
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for name, (begin, end) in zip(names, spans.tolist(), strict=True):
        first[name] = min(begin, first.get(name, begin))
        last[name] = max(end, last.get(name, end))
    before = np.array([last[n] < at_ms for n in names], dtype=np.bool_)
    end = np.inf if until_ms is None else until_ms
    after = np.array([at_ms <= first[n] < end for n in names], dtype=np.bool_)
    day = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not before.any() or not after.any():
        side = "is over before" if not before.any() else "begins at or after"
        raise ConfigError(f"eval_from: no event {side} {day}; choose another time")
    between = len({n for n, b in zip(names, before, strict=True) if not b and first[n] < at_ms})
    rule = f"events from {day} on"
    if until_ms is not None:
        rule += datetime.fromtimestamp(until_ms / 1000, UTC).strftime(" until %Y-%m-%d %H:%M UTC")
    rule += f"; {between} events around it are on neither side" if between else ""
    return Split(np.flatnonzero(before), np.flatnonzero(after), rule)


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()
