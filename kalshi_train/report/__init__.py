"""Pages: of an evaluation and of a run of trading, each one HTML file that opens offline.

For notebooks: `make_figures` of an evaluation, and `plot_book`, `plot_view`, `plot_episode`. Names
are imported when first used: the page of a run needs no Plotly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_train.report.figures import make_figures
    from kalshi_train.report.market_figures import plot_book, plot_episode, plot_view
    from kalshi_train.report.page import write_report

_HOME = {
    "make_figures": "figures",
    "plot_book": "market_figures",
    "plot_episode": "market_figures",
    "plot_view": "market_figures",
    "write_report": "page",
}

__all__ = ["make_figures", "plot_book", "plot_episode", "plot_view", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
