"""`EvaluationOptions`: what an evaluation is asked for besides policies and markets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import tyro

from kalshi_sim.validated import Validated, Within

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(Validated):
    """How the figures of an evaluation are made.

    Raises:
        ConfigError: a field is outside its range.
    """

    stress: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also evaluate under latency of 0 to 500 ms, without fees, and with larger orders."""
    stochastic: Annotated[int, Within(0, 100)] = 0
    """Also draw the models' actions, with so many seeds: shows why they trade, or do not."""
    permutations: Annotated[int, Within(0, 10_000)] = 0
    """Also play the models so often with the market features of other events, which say nothing."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    """Of the random baseline, the bootstrap, drawn actions and permutations."""
    confidence: Annotated[float, Within(0.5, 1, high_excluded=True)] = CONFIDENCE
    """Of the intervals."""
    resamples: Annotated[int, Within(100, 10_000_000)] = RESAMPLES
    """Of the bootstrap over events."""
    device: str = "cpu"
    """Where baselines and small networks play: cpu, cuda for a graphics card, or auto for one if
    there is one; the figures are the same."""
