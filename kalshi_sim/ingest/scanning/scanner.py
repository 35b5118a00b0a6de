"""One block's lines through the scanning kernel: columns, and the lines left to the decoder."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim.ingest.scanning.kernel import (
    FIRST,
    ID_FIRST,
    ID_STOP,
    KIND,
    LEFT,
    N_COLUMNS,
    STOP,
    scan_lines,
)
from kalshi_sim.ingest.scanning.objects import make_found
from kalshi_sim.ingest.scanning.tickers import make_seen
from kalshi_sim.kernels.jit import is_warm, say_if_compiling
from kalshi_sim.session import Int64Array

_FOLDER: Final = Path(__file__).parent
_WORTH_COMPILING: Final = 1 << 24
"""Bytes on disk: of compressed files a million frames."""
_starting = threading.Lock()


@dataclass(frozen=True)
class Scanned:
    """What the lines of a block say that are as usual."""

    columns: Int64Array
    """int64 [N_COLUMNS, n_lines] by the names of `kalshi_sim.ingest.scanning.kernel`."""
    left: Int64Array
    """int64 [n_left] the lines that are left to the decoder."""
    tickers: list[str]
    """By their number in the column MARKET."""
    trade_ids: list[str]
    """One for each line whose ID_FIRST is not negative, among trades, in their order."""
    left_lines: list[bytes]
    """The text of each line in `left`."""


def pays(total: int) -> bool:
    """Whether files of `total` bytes, as they lie on disk, are read sooner by the scanner.

    It must be compiled once, which takes as long as the decoder takes for some million frames.
    """
    return is_warm("scan_lines", _FOLDER) or total > _WORTH_COMPILING


@functools.cache
def _announced() -> bool:
    say_if_compiling("scan_lines", "the import", _FOLDER)
    return True


def scan(lines: bytes) -> Scanned:
    """The lines of a block, blank ones skipped; safe in several threads at once.

    Args:
        lines: frames of JSON, one a line, as UTF-8.
    """
    text = np.frombuffer(bytearray(lines), dtype=np.uint8)  # the kernel writes into its copy
    out = np.zeros((N_COLUMNS, lines.count(b"\n") + 1), dtype=np.int64)
    seen = make_seen()
    with _starting:  # one thread compiles, the others wait for it
        _announced()
        scan_lines(text[:0], make_found(), make_found(), make_found(), seen, out)
    n = scan_lines(text, make_found(), make_found(), make_found(), seen, out)
    n_seen = int(seen.n_seen[0])
    columns = out[:, :n]
    left = np.flatnonzero(columns[KIND] == LEFT)
    named = (columns[KIND] > 0) & (columns[ID_FIRST] >= 0)
    changed = text.tobytes()
    return Scanned(
        columns=columns,
        left=left,
        tickers=_texts(changed, seen.first[:n_seen], seen.stop[:n_seen]),
        trade_ids=_texts(changed, columns[ID_FIRST][named], columns[ID_STOP][named]),
        left_lines=[
            lines[first:stop]
            for first, stop in zip(
                columns[FIRST][left].tolist(), columns[STOP][left].tolist(), strict=True
            )
        ],
    )


def _texts(text: bytes, first: Int64Array, stop: Int64Array) -> list[str]:
    return [text[a:b].decode("ascii") for a, b in zip(first.tolist(), stop.tolist(), strict=True)]
