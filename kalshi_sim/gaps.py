"""Gaps of a session as people count them: the end of a recording is none."""

from __future__ import annotations

import numpy as np

from kalshi_sim.session import EventKind, Int64Array, Session
from kalshi_sim.text import numbered


def final_gaps(session: Session) -> Int64Array:
    """Gaps after which nothing more comes of their market: its recording ended there.

    Args:
        session: whose gaps are counted.

    Returns:
        int64 [n_markets] how many there are of each market.
    """
    kind, offsets = session.events.kind, session.market_offsets
    last = np.maximum.accumulate(np.where(kind != EventKind.GAP, np.arange(len(kind)), -1))
    starts, stops = offsets[:-1], offsets[1:]
    ends = np.append(last, -1)[stops - 1]  # of an empty market any: it has no gap
    return np.where(stops > starts, stops - 1 - np.maximum(ends, starts - 1), 0)


def gaps_text(session: Session) -> str:
    """The gaps of a session in words; ends of recordings, which lack nothing, stand apart."""
    final = final_gaps(session)
    text = f"{session.quality.total.gaps - int(final.sum()):,}"
    if ended := int((final > 0).sum()):
        text += f", and {numbered(ended, 'market')} ended with the recording"
    return text
