"""Comparing what is compiled with its slow twin: first tapes, then environments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kalshi_sim.reference.features import AGENT_INDEPENDENT, tape_features
from kalshi_sim.reference.tape import OracleView, replay
from kalshi_sim.reference.terms import oracle_payout
from kalshi_sim.session import Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape

FEATURE_TOLERANCE = 1e-6 + 2**-24
"""What features may differ by, and what rounding to float32 takes from a value below 1."""


def oracle_views(
    sessions: Sequence[Session],
    *,
    min_episode_length: int = 3,
    depth: int = 10,
    row_interval_ms: int = 1,
) -> list[OracleView]:
    """The views a tape must have, skipped ones left out.

    Args:
        sessions: what the tape is built from.
        min_episode_length: fewest rows of a view.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
    """
    payout = oracle_payout(sessions)
    views = [
        replay(
            session,
            market.ticker,
            payout=payout,
            min_episode_length=min_episode_length,
            depth=depth,
            row_interval_ms=row_interval_ms,
        )
        for session in sessions
        for market in session.markets
    ]
    return [view for view in views if not view.skipped]


def twins(
    sessions: Sequence[Session], *, depth: int = 10, row_interval_ms: int = 1
) -> tuple[Tape, list[OracleView]]:
    """The same sessions by both implementations.

    Args:
        sessions: what to replay.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.

    Returns:
        The compiled tape, and the slow twin's views.
    """
    views = oracle_views(sessions, depth=depth, row_interval_ms=row_interval_ms)
    tape = build_tape(sessions, min_episode_length=3, depth=depth, row_interval_ms=row_interval_ms)
    return tape, views


def assert_features_equal(
    actual: Sequence[float], expected: Sequence[float], indices: Sequence[int], where: str
) -> None:
    """Features agree to 1e-6 beyond the rounding of a float32.

    Args:
        actual, expected: values, in the order of `indices`.
        indices: numbers of the features, for the message.
        where: named in the message.
    """
    for index, a, e in zip(indices, actual, expected, strict=True):
        assert abs(float(a) - e) <= FEATURE_TOLERANCE, f"{where}: feature {index}: {a} is not {e}"


def assert_tapes_equal(tape: Tape, views: Sequence[OracleView]) -> None:
    """Every row of the tape is the oracle's: times, books, marks, flow and features.

    Args:
        tape: the compiled one.
        views: the slow twin's.
    """
    named = [(view.session_id, view.market_ticker, len(view)) for view in tape.views]
    assert named == [(view.session_id, view.ticker, len(view.rows)) for view in views]
    for number, (compiled, view) in enumerate(zip(tape.views, views, strict=True)):
        assert tape.payout == view.payout
        assert compiled.fee_unit == view.fee_unit
        assert compiled.rows_after_close == view.left_out
        for t in range(len(view.rows)):
            _assert_row_equal(tape, number, view, t)


def _assert_row_equal(tape: Tape, number: int, view: OracleView, t: int) -> None:
    at = tape.views[number].start + t
    row, where = view.rows[t], f"{view.ticker} row {t}"
    assert tape.ts_ms[at] == row.ts, where
    assert tape.mark2[at] == row.mark2, where
    for side in (0, 1):
        padded = [*view.top(t, side), *[(0, 0)] * view.depth][: view.depth]
        assert tape.px[at, side].tolist() == [price for price, _ in padded], where
        assert tape.qty[at, side].tolist() == [size for _, size in padded], where
    state = tape.views[number].states[tape.states[at]]
    terms = view.terms[t]
    assert state.paused == terms.paused, where
    assert state.taker_multiplier == terms.taker_multiplier, where
    assert state.maker_multiplier == terms.maker_multiplier, where
    assert tape_flow(tape, at) == sorted((*key, *amounts) for key, amounts in row.flow.items())
    assert_features_equal(
        tape.features[at].tolist(), tape_features(view, t), AGENT_INDEPENDENT, where
    )


def tape_flow(tape: Tape, at: int) -> list[tuple[int, ...]]:
    """(side, price, removed, added, traded) of each flow entry into a tape's row.

    Args:
        tape: a compiled tape.
        at: number of the row.

    Returns:
        (side, price, removed, added, traded) of each flow entry into the row; price in money units,
        the rest in contracts.
    """
    entries = slice(int(tape.flow_offsets[at]), int(tape.flow_offsets[at + 1]))
    columns = (
        tape.flow_side[entries],
        tape.flow_price[entries],
        tape.flow_removed[entries],
        tape.flow_added[entries],
        tape.flow_traded[entries],
    )
    return list(zip(*(np.asarray(c).tolist() for c in columns), strict=True))
