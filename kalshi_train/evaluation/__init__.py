"""Would this agent have made money? `evaluate` plays recorded markets and gives intervals.

Names are imported when first used, so that `kalshi-evaluate --help` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_train.evaluation.compare import Comparison
    from kalshi_train.evaluation.options import EvaluationOptions
    from kalshi_train.evaluation.policies import BASELINES, Policy
    from kalshi_train.evaluation.result import BOUNDS, Evaluation, Run
    from kalshi_train.evaluation.run import evaluate
    from kalshi_train.evaluation.stress import StressResult

_HOME = {
    "BASELINES": "policies",
    "BOUNDS": "result",
    "Comparison": "compare",
    "Evaluation": "result",
    "EvaluationOptions": "options",
    "Policy": "policies",
    "Run": "result",
    "StressResult": "stress",
    "evaluate": "run",
}

__all__ = [
    "BASELINES",
    "BOUNDS",
    "Comparison",
    "Evaluation",
    "EvaluationOptions",
    "Policy",
    "Run",
    "StressResult",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
