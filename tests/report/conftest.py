"""The page is tested on the evaluation's session and agent."""

from __future__ import annotations

from tests.evaluation.conftest import model, tape

__all__ = ["model", "tape"]
