"""What an agent saw at the last rows of a live market, for observations of several rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


class SeenRows:
    """The observations of the last rows, as a batch keeps those of an environment.

    They begin with the first row that is asked for; before it there are zeros.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[int, Float32Array]] = {}
        """By whose they are: how many rows there were, and float32 [history, frame]."""

    def stacked(
        self, whose: Hashable, rows: int, history: int, frame: Callable[[int], Float32Array]
    ) -> Float32Array:
        """The observation at the last row behind those of the rows before.

        Asked again at a row, that row is seen anew. A row that was passed over is seen as it would
        have been with the portfolio of now.

        Args:
            whose: settings and features that it is made by; each has its own memory.
            rows: closed so far, at least 1.
            history: rows that an observation shows.
            frame: gives the observation float32 [frame] of a row by its index.

        Returns:
            float32 [history * frame], the newest last.
        """
        newest = frame(rows - 1)
        if history == 1:
            return newest
        fresh = (rows - 1, np.zeros((history, len(newest)), np.float32))
        before, stack = self._kept.get(whose, fresh)
        for row in range(max(before, rows - history), rows - 1):
            stack = np.concatenate([stack[1:], frame(row)[None]])
        if before < rows:
            stack = np.concatenate([stack[1:], newest[None]])
        else:
            stack = np.concatenate([stack[:-1], newest[None]])
        self._kept[whose] = (rows, stack)
        return stack.reshape(-1)
