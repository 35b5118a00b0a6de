"""The report of an evaluation: charts, and one HTML file that opens offline.

For notebooks: `make_figures` of an evaluation, and `plot_book`, `plot_view`, `plot_episode`.
"""

from __future__ import annotations

from kalshi_train.report.figures import make_figures
from kalshi_train.report.market_figures import plot_book, plot_episode, plot_view
from kalshi_train.report.page import write_report

__all__ = ["make_figures", "plot_book", "plot_episode", "plot_view", "write_report"]
