"""Following live markets with the kernels that build tapes."""

from __future__ import annotations

from kalshi_sim.live.market import LiveMarket
from kalshi_sim.live.portfolio import Portfolio

__all__ = ["LiveMarket", "Portfolio"]
