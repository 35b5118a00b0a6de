"""Everything that one's own orders say about the simulation's settings, and the file of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kalshi_sim.calibration.estimate import Estimate
from kalshi_sim.calibration.latency import latency_of
from kalshi_sim.calibration.own_book import without_own
from kalshi_sim.calibration.own_log import OwnLog
from kalshi_sim.calibration.queue_power import queue_power_of
from kalshi_sim.calibration.settings_file import EVIDENCE
from kalshi_sim.calibration.spells import spells_of
from kalshi_sim.calibration.trade_share import trade_share_of
from kalshi_sim.errors import ConfigError, NoViewsError
from kalshi_sim.sealed import write_sealed
from kalshi_sim.session import Session
from kalshi_sim.tape_build import build_tape

_DIGITS: Final = 4
_SHORTEST: Final = 3
"""Rows of the shortest market that is looked at."""


@dataclass(frozen=True)
class Calibration:
    """Estimates, and where they come from."""

    source: str
    by_exchange_clock: bool
    """Whether latencies are by the exchange's clock; else they are round trips, an upper bound."""
    latency: list[Estimate]
    trade_share: Estimate | None
    """None: there is no recording."""
    queue_power: Estimate | None
    left_out: dict[str, int]

    @property
    def estimates(self) -> list[Estimate]:
        """All that was asked for."""
        return [*self.latency, *filter(None, (self.trade_share, self.queue_power))]

    @property
    def settings(self) -> dict[str, int | float]:
        """The settings that there was enough to estimate."""
        found: dict[str, int | float] = {}
        median = self.latency[0]
        if median.value is not None:
            found["latency_ms"] = round(median.value)
        if self.trade_share is not None and self.trade_share.value is not None:
            found["trade_share"] = round(self.trade_share.value, _DIGITS)
        if self.queue_power is not None and self.queue_power.known:
            found["queue_power"] = self.queue_power.more["nearest"]
        return found

    def to_json(self) -> dict[str, Any]:
        """What the file and `--json` hold."""
        evidence = {
            "source": self.source,
            "latency_by": "exchange clock" if self.by_exchange_clock else "round trip",
            "estimates": [asdict(estimate) for estimate in self.estimates],
            "left_out": self.left_out,
        }
        return {**self.settings, EVIDENCE: evidence}


def calibrate(log: OwnLog, session: Session | None, source: str, seed: int = 0) -> Calibration:
    """Estimate what there is enough for.

    Args:
        log: of one's own orders.
        session: what was recorded while they rested; None: latency alone is estimated.
        source: what the orders come from, for the file.
        seed: of the draws for intervals.

    Returns:
        The estimates.

    Raises:
        ConfigError: the recording has no market with rows.
    """
    by_exchange = len(log.at_exchange_ms) >= len(log.round_trip_ms)
    share = power = None
    if session is not None:
        power = queue_power_of(spells_of(session, log), seed)
        session = without_own(session, log.orders)
        try:
            tape = build_tape(session, min_episode_length=_SHORTEST)
        except NoViewsError:
            raise ConfigError("the recording has no market with rows") from None
        share = trade_share_of(tape, trades_recorded=session.trades_recorded)
    return Calibration(
        source=source,
        by_exchange_clock=by_exchange,
        latency=latency_of(log.at_exchange_ms if by_exchange else log.round_trip_ms),
        trade_share=share,
        queue_power=power,
        left_out=log.left_out,
    )


def write_calibration(path: Path, found: Calibration) -> None:
    """Write the settings and what they rest on.

    Args:
        path: the file; one that is there is replaced.
        found: what was estimated.
    """
    write_sealed(path, found.to_json())
