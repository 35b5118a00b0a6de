"""One block's lines through the scanning kernel: columns, and the lines left to the decoder."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from kalshi_sim.ingest.scanning.kernel import (
    FIRST,
    KIND,
    LEFT,
    N_COLUMNS,
    STOP,
    scan_lines,
)
from kalshi_sim.ingest.scanning.objects import make_found
from kalshi_sim.ingest.scanning.tickers import Seen, make_seen
from kalshi_sim.ingest.scanning.words import Text
from kalshi_sim.kernels.jit import is_warm, say_if_compiling
from kalshi_sim.session import Int64Array

_FOLDER: Final = Path(__file__).parent
_WORTH_COMPILING: Final = 1 << 24
"""Bytes on disk: of compressed files a million frames."""
_USUAL_LENGTH: Final = 1 << 7
"""Bytes of a line, at least; a block of shorter ones is scanned a second time."""
_starting = threading.Lock()
T = TypeVar("T", memoryview, bytes)


@dataclass(frozen=True)
class Scanned:
    """What the lines of a block say that are as usual."""

    columns: Int64Array
    """int64 [N_COLUMNS, n_lines] by the names of `kalshi_sim.ingest.scanning.kernel`."""
    left: Int64Array
    """int64 [n_left] the lines that are left to the decoder."""
    tickers: list[str]
    """By their number in the column MARKET."""
    left_lines: list[bytes]
    """The text of each line in `left`."""


def pays(total: int) -> bool:
    """Whether files of `total` bytes, as they lie on disk, are read sooner by the scanner.

    It must be compiled once, which takes as long as the decoder takes for some million frames.
    """
    return is_warm("scan_lines", _FOLDER) or total > _WORTH_COMPILING


class _Room(threading.local):
    """Where a thread's kernel notes the values of an envelope, a frame and a message.

    And where it has its copy of a block, which it writes into.
    """

    def __init__(self) -> None:
        self.objects = (make_found(), make_found(), make_found())
        self._text = np.empty(0, dtype=np.uint8)

    def copy(self, lines: bytes) -> Text:
        """A block to write into, until the next one is copied."""
        if len(self._text) < len(lines):
            self._text = np.empty(len(lines), dtype=np.uint8)
        text = self._text[: len(lines)]
        np.copyto(text, np.frombuffer(lines, dtype=np.uint8))  # other threads go on meanwhile
        return text


_room = _Room()


@functools.cache
def _compiled() -> Callable[..., int]:
    say_if_compiling("scan_lines", "the import", _FOLDER)
    nothing = np.empty(0, dtype=np.uint8)
    scan_lines(nothing, *_room.objects, make_seen(), np.empty((N_COLUMNS, 1), dtype=np.int64))
    return scan_lines


def _kernel() -> Callable[..., int]:
    with _starting:  # one thread compiles, the others wait for it
        return _compiled()


def scan(lines: bytes) -> Scanned:
    """The lines of a block, blank ones skipped; safe in several threads at once.

    Args:
        lines: frames of JSON, one a line, as UTF-8.
    """
    n, text, seen, out = _scanned(lines, len(lines) // _USUAL_LENGTH + 1)
    if n < 0:
        n, text, seen, out = _scanned(lines, lines.count(b"\n") + 1)
    n_seen = int(seen.n_seen[0])
    columns = out[:, :n]
    left = np.flatnonzero(columns[KIND] == LEFT)
    return Scanned(
        columns=columns,
        left=left,
        tickers=[
            str(part, "ascii")
            for part in _parts(text.data, seen.first[:n_seen], seen.stop[:n_seen])
        ],
        left_lines=_parts(lines, columns[FIRST][left], columns[STOP][left]),
    )


def _scanned(lines: bytes, n_lines: int) -> tuple[int, Text, Seen, Int64Array]:
    text = _room.copy(lines)
    out = np.empty((N_COLUMNS, n_lines), dtype=np.int64)
    seen = make_seen()
    return _kernel()(text, *_room.objects, seen, out), text, seen, out


def _parts(text: T, first: Int64Array, stop: Int64Array) -> list[T]:
    return [text[a:b] for a, b in zip(first.tolist(), stop.tolist(), strict=True)]
