"""The three ways the tests run: compiled, interpreted and with bounds checks."""

from __future__ import annotations

import os

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
"""Whether kernels run as plain Python (NUMBA_DISABLE_JIT=1): some hundred times slower."""

INTERPRETED_SHARE = 5
"""An interpreted run draws one example where a compiled one draws this many."""


def examples(compiled: int) -> int:
    """`max_examples` of a hypothesis test that drives kernels, fitted to the mode."""
    return max(5, compiled // INTERPRETED_SHARE) if INTERPRETED else compiled
