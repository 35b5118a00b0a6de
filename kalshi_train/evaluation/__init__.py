"""Would this agent have made money? `evaluate` plays recorded markets and says how sure it is."""

from __future__ import annotations

from kalshi_train.evaluation.compare import Comparison
from kalshi_train.evaluation.policies import BASELINES, Policy
from kalshi_train.evaluation.run import BOUNDS, Evaluation, Run, evaluate
from kalshi_train.evaluation.stress import StressResult

__all__ = [
    "BASELINES",
    "BOUNDS",
    "Comparison",
    "Evaluation",
    "Policy",
    "Run",
    "StressResult",
    "evaluate",
]
