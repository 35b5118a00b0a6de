"""One episode that was played, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import ActionTable
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import MarketSessionView
from kalshi_train.evaluation import kernels

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Played:
    """One episode, row by row; R rows were reached. Money in tape units."""

    view: MarketSessionView
    index: int
    """Of the view on its tape."""
    table: ActionTable
    """What the actions mean."""
    actions: npt.NDArray[np.int8]
    """[R] the action chosen at each row, -1 at the last."""
    equity2: Int64Array
    """[R] twice the equity at each row."""
    position: Int64Array
    """[R] contracts held, + YES, - NO; 0 at the last row if it was settled."""
    fills: Int64Array
    """[fills, layout.N_RECORD] row (from the view's first), side, price, qty, fee, maker."""
    core: Int64Array
    """[layout.N_CORE] the agent as the episode ended."""
    truncated: bool
    detail: Int64Array
    """[R, kernels.N_DETAIL], or [0, N_DETAIL] without `detail`."""
    observations: npt.NDArray[np.float32]
    """[R, history * 52], or [0, history * 52] without `detail`."""


def make_track(rows: int, fill_room: int, detail: bool, width: int = N_FEATURES) -> kernels.Track:
    """Empty arrays for an episode.

    Args:
        rows: most rows it can have.
        fill_room: fills there is room for at first.
        detail: keep orders, cash and observations of each row too.
        width: columns of an observation.

    Returns:
        The arrays, [rows] or [fill_room] long.
    """
    kept = rows if detail else 0
    return kernels.Track(
        actions=np.full(rows, -1, np.int8),
        equity2=np.zeros(rows, np.int64),
        position=np.zeros(rows, np.int64),
        detail=np.zeros((kept, kernels.N_DETAIL), np.int64),
        observations=np.zeros((kept, width), np.float32),
        fills=np.zeros((fill_room, layout.N_RECORD), np.int64),
        counts=np.zeros(2, np.int64),
    )


def played_of(
    view: MarketSessionView,
    index: int,
    table: ActionTable,
    track: kernels.Track,
    fills: Int64Array,
    core: Int64Array,
    done: int,
) -> Played:
    """An episode of what was kept of it.

    Args:
        view: what was played.
        index: of it on its tape.
        table: what the actions mean.
        track: what was kept, row by row.
        fills: int64 [fills, layout.N_RECORD].
        core: int64 [N_CORE] the agent as the episode ended.
        done: its done bits.

    Returns:
        The episode, over the memory of `track`.
    """
    rows = int(track.counts[0])
    return Played(
        view=view,
        index=index,
        table=table,
        actions=track.actions[:rows],
        equity2=track.equity2[:rows],
        position=track.position[:rows],
        fills=fills,
        core=core.copy(),
        truncated=done == layout.TRUNCATED,
        detail=track.detail[:rows],
        observations=track.observations[:rows],
    )
