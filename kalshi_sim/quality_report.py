"""What was dropped, clamped, raised, skipped, crossed or unmatched in a session, in counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True)
class MarketQuality:
    """Counts of what was dropped, clamped, raised, skipped, crossed or unmatched in one market."""

    frames: int = 0
    """Book frames (snapshots and deltas) read."""
    snapshots: int = 0
    levels: int = 0
    deltas: int = 0
    trades: int = 0
    trades_matched: int = 0
    trades_unmatched: int = 0
    block_trades_dropped: int = 0
    passed_over: int = 0
    """Book frames of another connection or subscription than that of the latest snapshot."""
    repeated_frames: int = 0
    """Frames that were in the files twice, or sent twice, and count once."""
    late_deltas: int = 0
    """Deltas that the recorder wrote late; they stand where their number belongs."""
    gaps: int = 0
    dropped_before_snapshot: int = 0
    dropped_in_gap: int = 0
    clamped_deltas: int = 0
    raised_times: int = 0
    inferred_times: int = 0
    crossed_ms: int = 0
    """Milliseconds (at row_interval_ms 1) that ended crossed or locked and made no row."""
    empty_ms: int = 0
    """Milliseconds that ended with no level on either side and made no row."""
    rows: int = 0
    """Rows at row_interval_ms 1, before the close time ends a view."""
    untrusted_levels: int = 0
    rebuilt_books: int = 0
    """Books that began without a recorded snapshot, as the smallest that the deltas allow."""
    pauses: int = 0
    """Times that trading was paused."""
    grid_updates: int = 0
    fee_updates: int = 0
    bad_rows: int = 0
    """Stored rows or lines that could not be right and were skipped on request."""

    def __add__(self, other: MarketQuality) -> MarketQuality:
        return MarketQuality(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )


@dataclass(frozen=True, repr=False)
class QualityReport:
    """The quality of a session: counts per market, and notes on the whole."""

    markets: Mapping[str, MarketQuality] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences for people: what an era lost, what an option would repair."""
    other_frames: Mapping[str, int] = field(default_factory=dict)
    """Frames that are no book event or trade, by type (ok, subscribed, error, ticker, ...)."""
    bad_lines: int = 0
    """Lines that could not be read and were skipped on request."""
    gaps_checked: bool = False
    """Whether the sequence numbers were searched for holes (the whole subscription was there)."""

    @property
    def total(self) -> MarketQuality:
        """The counts of all markets together."""
        return sum(self.markets.values(), MarketQuality())

    def __repr__(self) -> str:
        counts = [f"{name} {n:,}" for name, n in asdict(self.total).items() if n]
        return (
            f"QualityReport({len(self.markets):,} markets: {', '.join(counts) or 'nothing counted'}"
            f"; {len(self.notes)} notes)"
        )
