"""The former place of `kalshi_train.learner.algorithms`."""

from __future__ import annotations

from kalshi_train.learner.algorithms import FastA2C, FastPPO

__all__ = ["FastA2C", "FastPPO"]
