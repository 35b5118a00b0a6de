"""The former place of `kalshi_sim.synthetic.edge`."""

from __future__ import annotations

from kalshi_sim.synthetic.edge import best_edge_policy

__all__ = ["best_edge_policy"]
