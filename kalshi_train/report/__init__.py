"""The report of an evaluation: one HTML file that opens offline."""

from __future__ import annotations

from kalshi_train.report.page import write_report

__all__ = ["write_report"]
