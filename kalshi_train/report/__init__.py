"""The report of an evaluation: charts, and one HTML file that opens offline."""

from __future__ import annotations

from kalshi_train.report.figures import make_figures
from kalshi_train.report.page import write_report

__all__ = ["make_figures", "write_report"]
