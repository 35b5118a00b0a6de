"""The rows of a run as they were decided: what a page redraws, and nothing that proves anything.

A file beside the log holds of each decided row the record of the book and the observation of the
chosen fill model, compressed by a thread of its own: decisions do not wait for it. It ends where
the disk does; the log says what was decided.
"""

from __future__ import annotations

import queue
import threading
import time
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.kernels.rows import row_width

ROWS_NAME: Final = "rows.zz"
_EVERY_S: Final = 0.25
_LEVEL: Final = 1


def row_type(depth: int) -> np.dtype[np.void]:
    """A record of the file.

    Args:
        depth: levels a side that a row keeps.
    """
    return np.dtype(
        [
            ("market", np.int64),
            ("row", np.int64),
            ("seen", np.float32, N_FEATURES),
            ("book", np.int64, row_width(depth)),
        ]
    )


def _path_of(folder: Path, leg: int) -> Path:
    return folder / (f"leg-{leg}-{ROWS_NAME}" if leg else ROWS_NAME)


class RowWriter:
    """Writes rows; nobody waits for it."""

    def __init__(self, folder: Path, leg: int = 0) -> None:
        """Begin the file of a run, or of another leg of it.

        Args:
            folder: of the run, which is there.
            leg: how often the run was begun before; each time has a file of its own.

        Raises:
            ConfigError: it cannot be written.
        """
        self.error: OSError | None = None
        """What ended the writing."""
        path = _path_of(folder, leg)
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; choose another --out") from error
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="rows", daemon=True)
        self._thread.start()

    def put(
        self,
        market: int,
        row: int,
        seen: npt.NDArray[np.float32],
        book: npt.NDArray[np.int64],
    ) -> None:
        """Keep a row.

        Args:
            market: its number.
            row: its number in the market.
            seen: float32 [52] the observation of the row.
            book: int64 [width] the record of the row.
        """
        head = market.to_bytes(8, "little") + row.to_bytes(8, "little")
        self._waiting.put(head + seen.tobytes() + book.tobytes())

    def close(self) -> None:
        """Write what waits, and close."""
        self._waiting.put(None)
        self._thread.join()
        self._file.close()

    def _work(self) -> None:
        packer = zlib.compressobj(_LEVEL)
        ends = False
        while not ends:
            records = [self._waiting.get()]
            time.sleep(_EVERY_S if records[0] is not None else 0.0)
            while not self._waiting.empty():
                records.append(self._waiting.get())
            ends = records[-1] is None
            if self.error is not None:
                continue
            data = packer.compress(b"".join(r for r in records if r is not None))
            data += packer.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)
            try:
                self._file.write(data)
                self._file.flush()
            except OSError as error:
                self.error = error


class RowReader:
    """Reads the file of a run while it grows."""

    def __init__(self, folder: Path, depth: int, leg: int = 0) -> None:
        """Read nothing yet.

        Args:
            folder: of the run.
            depth: levels a side of its rows.
            leg: how often the run was begun before.
        """
        self._path = _path_of(folder, leg)
        self._type = row_type(depth)
        self._at = 0
        self._unpacker = zlib.decompressobj()
        self._left = b""

    def read(self) -> npt.NDArray[np.void]:
        """What has come since the last time.

        Returns:
            Structured array [n] of dtype `row_type`; of a file that is not there none.

        Raises:
            ConfigError: it is no file of rows.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                packed = file.read()
        except FileNotFoundError:
            packed = b""
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        self._at += len(packed)
        try:
            data = self._left + self._unpacker.decompress(packed)
        except zlib.error:
            raise ConfigError(
                f"{self._path} is damaged; without it the run is shown without its replay: "
                "remove it"
            ) from None
        whole = len(data) // self._type.itemsize * self._type.itemsize
        self._left = data[whole:]
        return np.frombuffer(data[:whole], self._type)
