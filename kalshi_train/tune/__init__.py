"""Searching settings: studies of Optuna whose trials are training runs.

Names are imported when first used, so that `kalshi-tune --help` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_train.tune.options import TuneOptions
    from kalshi_train.tune.result import TuneResult
    from kalshi_train.tune.run import tune
    from kalshi_train.tune.space import SearchSpace

_HOME = {
    "SearchSpace": "space",
    "TuneOptions": "options",
    "TuneResult": "result",
    "tune": "run",
}

__all__ = ["SearchSpace", "TuneOptions", "TuneResult", "tune"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
