"""What the replay of a session drops, clamps, raises and skips, counted per market."""

from __future__ import annotations

from kalshi_sim.kernels import replay as kernel
from kalshi_sim.kernels import replay_state
from kalshi_sim.parallel import in_order
from kalshi_sim.session import Events, Int64Array, MarketQuality
from kalshi_sim.threads import usable_cpus
from kalshi_sim.units import stored_per_money


def event_columns(events: Events, payout: int) -> replay_state.EventColumns:
    """The columns the replay kernel reads, prices in the money unit of a tape.

    Args:
        events: of one or more markets; prices in 1/100 cent.
        payout: money units a winning contract pays, 100 or 10 000.
    """
    per_money = stored_per_money(payout)
    price = events.price if per_money == 1 else events.price // per_money
    return replay_state.EventColumns(
        events.kind, events.side, price, events.size, events.traded, events.ts_ms
    )


def audit_events(events: Events, offsets: Int64Array, payout: int) -> list[MarketQuality]:
    """Replay each market's events at 1 ms, without computing features, and count.

    Args:
        events: grouped by market, in stream order within a market.
        offsets: int64 [n_markets + 1], where each market's events begin.
        payout: what a winning contract pays, in the money unit all prices fit.

    Returns:
        The counts of each market, in order.
    """
    nothing = replay_state.make_rows(0, 0, 1)

    def audit(market: int) -> MarketQuality:
        rows = slice(int(offsets[market]), int(offsets[market + 1]))
        columns = event_columns(events[rows], payout)
        replay = replay_state.make_replay(
            payout=payout,
            depth=0,
            row_interval_ms=1,
            session_first_ms=0,
            utc_offset_ms=0,
            taker_multiplier=0,
            close_ms=None,
            close_updates=(),
            history_rows=0,
        )
        kernel.apply_events(replay, columns, 0, len(columns.kind), nothing, False)
        kernel.close_row(replay, nothing, False)
        counts = replay.counts
        return MarketQuality(
            gaps=int(counts[replay_state.GAPS]),
            dropped_before_snapshot=int(counts[replay_state.DROPPED_BEFORE_SNAPSHOT]),
            dropped_in_gap=int(counts[replay_state.DROPPED_IN_GAP]),
            clamped_deltas=int(counts[replay_state.CLAMPED]),
            raised_times=int(counts[replay_state.RAISED]),
            crossed_ms=int(counts[replay_state.CROSSED]),
            empty_ms=int(counts[replay_state.EMPTY]),
            untrusted_levels=int(counts[replay_state.UNTRUSTED]),
            rows=int(replay.state[replay_state.ROWS]),
        )

    return list(in_order(range(len(offsets) - 1), audit, usable_cpus()))
