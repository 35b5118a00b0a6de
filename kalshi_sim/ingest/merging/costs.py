"""How likely an order of a market's pieces is, by the numbers and times of their subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kalshi_sim.ingest.merging.pieces import Piece, Subscription, snapshots_shared
from kalshi_sim.ingest.merging.view import APART_MS
from kalshi_sim.session import NO_TIME

RESTART_MS: Final = 20
"""A new connection is as likely as times that run back by so much."""
Cost = tuple[int, int, int, int]
"""Frames that continue nothing · restarts and steps back in time · numbers that are not the very
next · by how much they are not."""


def cost_of(order: Sequence[Piece]) -> Cost | None:
    """How unlikely this order is; None if times would run back by more than a second.

    Args:
        order: pieces of one market.
    """
    continues_nothing = restarts = back = not_next = distance = 0
    latest: dict[int, Subscription] = {}
    clock = NO_TIME
    for at, piece in enumerate(order):
        overlaps = at > 0 and not piece.has_delta and snapshots_shared(order[at - 1], piece) > 0
        if piece.times is not None:
            step_back = max(clock - piece.times[0], 0)
            if step_back > APART_MS:
                return None
            back += step_back
            clock = max(clock, piece.times[1])
        for sid, own in piece.subscriptions.items():
            before = latest.get(sid)
            if own.first < 0:
                continue
            latest[sid] = own
            if before is not None and own.first > before.last:
                not_next += own.first > before.last + 1
                distance += own.first - before.last - 1
                if not own.begins_anew and own.snapshot < 0:
                    latest[sid] = _continued(before, own)
            elif own.begins_anew:
                restarts += before is not None and not overlaps
            elif before is not None and _is_late(before, own.first):
                latest[sid] = _continued(before, own)
            else:
                continues_nothing += 2 if before is not None else 1
    return continues_nothing, restarts * RESTART_MS + back, not_next, distance


def _continued(before: Subscription, own: Subscription) -> Subscription:
    return Subscription(
        own.first,
        own.begins_anew,
        max(before.last, own.last),
        max(before.snapshot, own.snapshot),
        before.used | own.used,
    )


def _is_late(before: Subscription, first: int) -> bool:
    """Whether a lower number may be that of a delta that was written late."""
    return before.snapshot < first < before.last and first not in before.used
