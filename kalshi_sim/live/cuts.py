"""An imported session with the cuts of a live run: what was known when it was traded upon."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from kalshi_sim.live.following import Cut
from kalshi_sim.session import EventKind, Events, Session


def with_cuts(session: Session, cuts: Iterable[Cut]) -> Session:
    """The session as it was known live.

    Args:
        session: as imported.
        cuts: of the run, in their order; those of markets that it does not have are passed over.

    Returns:
        A session with the gaps and the raised times of the cuts.
    """
    by_market: dict[str, list[Cut]] = {}
    for cut in cuts:
        by_market.setdefault(cut.market, []).append(cut)
    parts = []
    for i, market in enumerate(session.markets):
        rows = slice(int(session.market_offsets[i]), int(session.market_offsets[i + 1]))
        parts.append(_cut(session.events[rows], by_market.get(market.ticker, [])))
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return replace(session, events=Events.concatenate(parts), market_offsets=offsets)


def _cut(events: Events, cuts: list[Cut]) -> Events:
    """The events of one market with its cuts."""
    if not cuts:
        return events
    ts_ms = events.ts_ms.copy()
    book = (events.kind != EventKind.TRADE) & (events.kind != EventKind.GAP)
    gaps: list[int] = []
    for cut in cuts:
        at = _place(events, cut)
        if at is None:
            continue
        if cut.kind == "late":
            after = np.arange(len(events)) >= at
            ts_ms[after & book] = np.maximum(ts_ms[after & book], cut.from_ms)
        else:
            gaps.append(at)
    events = replace(events, ts_ms=ts_ms)
    out, start = [], 0
    for at in sorted(gaps):
        gap = Events.from_columns(
            kind=[EventKind.GAP], side=[0], price=[0], size=[0], ts_ms=[int(ts_ms[at - 1])]
        )
        out += [events[slice(start, at)], gap]
        start = at
    return Events.concatenate([*out, events[slice(start, len(events))]])


def _place(events: Events, cut: Cut) -> int | None:
    """The index of the first event behind a cut; None if the cut lies before the first book."""
    snapshots = np.flatnonzero(events.kind == EventKind.SNAPSHOT)
    if not 0 <= cut.snapshot < len(snapshots):
        return None
    first = int(snapshots[cut.snapshot])
    if cut.deltas == 0:
        at = first + 1
        while at < len(events) and events.kind[at] == EventKind.LEVEL:
            at += 1
        return at
    deltas = np.flatnonzero(events.kind[first:] == EventKind.DELTA)
    return first + int(deltas[min(cut.deltas, len(deltas)) - 1]) + 1 if len(deltas) else first + 1
