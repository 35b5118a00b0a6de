"""Simulation of trading on recorded Kalshi order books.

Names are imported when first used, so that `import kalshi_sim` is quick and compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kalshi_sim.arrival import when_imported

if TYPE_CHECKING:
    from kalshi_sim.actions import ActionRow, ActionTable
    from kalshi_sim.config import SimConfig, TapeOptions
    from kalshi_sim.features import FEATURES
    from kalshi_sim.gym_env import KalshiVectorEnv, MarketAgnosticKalshiEnv
    from kalshi_sim.live.market import LiveMarket
    from kalshi_sim.session import MarketInfo, QualityReport, Session, SessionInfo
    from kalshi_sim.simulator import BatchSimulator
    from kalshi_sim.store import SessionStore, open_store
    from kalshi_sim.tape import MarketSessionView, Tape
    from kalshi_sim.tape_build import build_tape
    from kalshi_sim.tape_cache import load_tape
    from kalshi_sim.vec_env import KalshiVecEnv

__version__ = "0.1.0"

_HOME = {
    "ActionRow": "actions",
    "ActionTable": "actions",
    "SimConfig": "config",
    "TapeOptions": "config",
    "FEATURES": "features",
    "KalshiVectorEnv": "gym_env",
    "MarketAgnosticKalshiEnv": "gym_env",
    "LiveMarket": "live",
    "MarketInfo": "session",
    "QualityReport": "session",
    "Session": "session",
    "SessionInfo": "session",
    "BatchSimulator": "simulator",
    "SessionStore": "store",
    "open_store": "store",
    "MarketSessionView": "tape",
    "Tape": "tape",
    "build_tape": "tape_build",
    "load_tape": "tape_cache",
    "KalshiVecEnv": "vec_env",
}

__all__ = [
    "FEATURES",
    "ActionRow",
    "ActionTable",
    "BatchSimulator",
    "KalshiVecEnv",
    "KalshiVectorEnv",
    "LiveMarket",
    "MarketAgnosticKalshiEnv",
    "MarketInfo",
    "MarketSessionView",
    "QualityReport",
    "Session",
    "SessionInfo",
    "SessionStore",
    "SimConfig",
    "Tape",
    "TapeOptions",
    "build_tape",
    "load_tape",
    "open_store",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kalshi_sim.extras import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def _register() -> None:
    importlib.import_module(f"{__name__}.registration")


when_imported("gymnasium", _register)


def __dir__() -> list[str]:
    return sorted(__all__)
