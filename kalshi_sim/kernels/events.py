"""Values of session.EventKind, EventFlag and NO_TIME: kernels import no classes."""

from __future__ import annotations

SNAPSHOT, LEVEL, DELTA, TRADE, GAP, DROP_LEVEL = 0, 1, 2, 3, 4, 5
WHOLE_SECOND, TIME_INFERRED, REBUILT = 1, 2, 4
NO_TIME = -(2**62)
