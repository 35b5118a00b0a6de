"""What the golden episodes share: both twins, one market, figures by row."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_sim import SimConfig
from kalshi_sim.reference.engines import Trajectory, run_compiled, run_oracle
from kalshi_sim.session import Session
from tests.support.streams import session_of, snapshot

BOTH = pytest.mark.parametrize("run", [run_oracle, run_compiled], ids=["oracle", "compiled"])


def config(**fields: Any) -> SimConfig:
    """Settings with fills recorded."""
    return SimConfig(record_fills=True, **fields)


def column(trajectory: Trajectory, name: str, side: int | None = None) -> list[Any]:
    """One figure of the state over the rows of an episode."""
    values = [state[name] for state in trajectory.states]
    return values if side is None else [value[side] for value in values]


def calm(*later: Any, **market: Any) -> Session:
    """40 x 100 and 39 x 50 against an ask of 45 x 80 and 50 x 20, then what is told."""
    return session_of(snapshot(0, {40: 100, 39: 50}, {55: 80, 50: 20}), *later, **market)
