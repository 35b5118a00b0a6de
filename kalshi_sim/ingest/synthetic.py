"""The former place of `kalshi_sim.synthetic.session`."""

from __future__ import annotations

from kalshi_sim.synthetic.session import generate_session, generate_with_truth

__all__ = ["generate_session", "generate_with_truth"]
