"""Segments on disk: a bounded queue, and the one thread that compresses, writes and syncs it.

A line that was put is on the disk within a second, so that neither a kill nor a power cut takes
more. What does not fit into the queue, or arrives while the disk is too full, is dropped and
counted; putting never waits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.files import is_without_room, make_folder, sync_folder
from kalshi_sim.ingest.segment_sums import SumWriter
from kalshi_sim.ingest.segments import (
    FRAME,
    Header,
    marker_line,
    run_of,
    segment_name,
    segments_in,
)
from kalshi_sim.text import numbered

FLUSH_SECONDS: Final = 0.5
"""Lines wait at most so long before they are compressed, written and synced."""
SEGMENT_SECONDS: Final = 3600
QUEUE_BYTES: Final = 256 * 2**20
FLOOR_BYTES: Final = 2**30
"""Free room on the disk below which nothing more is written."""
_REARM: Final = 1.2
"""Writing goes on once so many floors are free, ..."""
_RETRY_BYTES: Final = 2**20
"""... and at least so many bytes more than the floor."""
_LEVEL: Final = 6
_GZIP: Final = 16
_NS: Final = 1_000_000_000
_MIB: Final = 2**20
_LOCK: Final = ".recording"


@dataclass
class WriterOptions:
    """How segments are written."""

    segment_seconds: int = SEGMENT_SECONDS
    flush_seconds: float = FLUSH_SECONDS
    queue_bytes: int = QUEUE_BYTES
    floor_bytes: int = FLOOR_BYTES


@dataclass
class Written:
    """What a writer has done so far."""

    lines: int = 0
    bytes_in: int = 0
    """Of lines, before compression."""
    bytes_out: int = 0
    """On the disk."""
    dropped: int = 0
    """Frames, of a full queue or of a full disk."""
    without_room: int = 0
    """Of those, the ones of a full disk."""
    segments: list[Path] = field(default_factory=list)
    longest_sync_s: float = 0.0


class SegmentWriter:
    """Writes one run of a recording; only one writer at a time has a folder."""

    def __init__(
        self,
        folder: Path,
        header: Header,
        options: WriterOptions | None = None,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take the folder and begin a run of its own, after those that are there.

        Args:
            folder: made if it is not there.
            header: of the segments; run, number and time are set here.
            options: how to write.
            wall_ns: the wall clock.

        Raises:
            ConfigError: the folder cannot be made or written, or another recorder has it.
            StoreError: there is no more room than has to stay free.
        """
        make_folder(folder)
        self.folder = folder
        self.options = options or WriterOptions()
        self.written = Written()
        self._check_room()
        self.full = False
        """Whether the disk is too full to write."""
        self.error: OSError | None = None
        """What ended the writing, other than a full disk."""
        self._wall_ns = wall_ns
        self._lock_file = _locked(folder)
        for left in folder.glob(".segment-*.tmp"):  # of a killed writer: the folder is ours
            left.unlink(missing_ok=True)
        self.run = 1 + max(map(run_of, segments_in(folder)), default=0)
        self._header = msgspec.structs.replace(header, run=self.run, sums=True)
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._closing = False
        self._fd = -1
        self._synced = 0
        self._hour = -1
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | _GZIP)
        self._sums = SumWriter()
        self._thread = threading.Thread(target=self._work, name="segments", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the queue."""
        return self._waiting_bytes

    def free_bytes(self) -> int:
        """Free room on the disk."""
        return shutil.disk_usage(self.folder).free

    def put(self, line: bytes, *, always: bool = False) -> bool:
        """Queue a line; whether it was taken.

        Args:
            line: with its line end.
            always: take it even if the queue is full (markers, which are few).

        Returns:
            False if it was dropped, and counted.
        """
        with self._mutex:
            refused = self.full or self._closing or self.error is not None
            if not always and (
                refused or self._waiting_bytes + len(line) > self.options.queue_bytes
            ):
                self._drop([line])
                return False
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        return True

    def close(self) -> None:
        """Write what is queued, end the segment in order, and give the folder back.

        Raises:
            StoreError: the disk failed.
        """
        with self._mutex:
            self._closing = True
        self._wake.set()
        self._thread.join()
        os.close(self._lock_file)
        if self.error is not None:
            raise StoreError(
                f"cannot write {self.folder}: {self.error.strerror}; check the disk"
            ) from self.error

    def check_whole(self) -> None:
        """Raise if the disk was too full for frames.

        Raises:
            StoreError: it was; the message says how many were dropped.
        """
        dropped = self.written.without_room
        if dropped:
            raise StoreError(
                f"the disk of {self.folder} was full: {numbered(dropped, 'frame')} could not be "
                "written; what was written before and after that is whole"
            ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _check_room(self) -> None:
        free = self.free_bytes()
        if free <= self.options.floor_bytes:
            raise StoreError(
                f"{self.folder}: {free / _MIB:,.0f} MiB are free on its disk, and "
                f"{self.options.floor_bytes / _MIB:,.0f} are to stay free (--disk-floor-mib); free "
                "some space"
            )

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(self.options.flush_seconds)
            self._step()
        self._step()
        with contextlib.suppress(OSError):  # the disk is full: what was synced is whole
            self._end_segment("stop")

    def _step(self) -> None:
        """Write and sync what waits; change segments on the hour; mind the room on the disk."""
        with self._mutex:
            lines, self._waiting = self._waiting, []
            self._waiting_bytes = 0
        if self.error is not None:
            self._drop(lines)
            return
        try:
            free = self.free_bytes()
            if self.full:
                floor = self.options.floor_bytes
                self.full = free < max(floor * _REARM, floor + _RETRY_BYTES)
            elif free < self.options.floor_bytes + sum(map(len, lines)):
                self._end_segment("disk-full")
                self.full = True
            if self.full:
                self._drop(lines)
                return
            hour = self._wall_ns() // (self.options.segment_seconds * _NS)
            if self._fd >= 0 and hour != self._hour:
                self._end_segment("rotate")
            if self._fd < 0 and (lines or not self._closing):
                self._begin_segment(hour)
            self._write(lines)
        except OSError as error:
            self._give_up(error)
            self._drop(lines)

    def _drop(self, lines: list[bytes]) -> None:
        frames = sum(line.startswith(FRAME) for line in lines)
        self.written.dropped += frames
        self.written.without_room += frames * self.full

    def _give_up(self, error: OSError) -> None:
        """Cut the segment back to what was synced; a full disk may have room again later."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._synced)
                os.close(self._fd)
            self._fd = -1
        if is_without_room(error):
            self.full = True
        else:
            self.error = error

    def _begin_segment(self, hour: int) -> None:
        began = self._wall_ns()
        number = len(self.written.segments) + 1
        text = datetime.fromtimestamp(began / _NS, UTC).strftime("%Y%m%dT%H%M%SZ")
        path = self.folder / segment_name(self.run, number, text)
        header = msgspec.structs.replace(self._header, number=number, began_ns=began)
        temporary = self.folder / f".{path.name}.tmp"
        self._fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | _GZIP)
        self._sums = SumWriter()
        self._synced, self._hour = 0, hour
        try:
            self._write([msgspec.json.encode(header) + b"\n"])
            os.link(temporary, path)  # never over another file
        finally:
            temporary.unlink()
        sync_folder(self.folder)
        self.written.segments.append(path)

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        summed = self._sums.with_sums(lines, self._wall_ns())
        self._out(self._gzip.compress(summed) + self._gzip.flush(zlib.Z_SYNC_FLUSH))
        self.written.lines += len(lines)
        self.written.bytes_in += sum(map(len, lines))

    def _out(self, packed: bytes) -> None:
        begun = time.monotonic()
        view = memoryview(packed)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fsync(self._fd)
        self._synced += len(packed)
        self.written.bytes_out += len(packed)
        self.written.longest_sync_s = max(self.written.longest_sync_s, time.monotonic() - begun)

    def _end_segment(self, why: str) -> None:
        if self._fd < 0:
            return
        now_ns = self._wall_ns()
        text = self._sums.with_sums([marker_line(now_ns, time.monotonic_ns(), 0, why)], now_ns)
        self._out(self._gzip.compress(text) + self._gzip.flush(zlib.Z_FINISH))
        os.close(self._fd)
        self._fd = -1


def _locked(folder: Path) -> int:
    """The folder's lock, held as long as it is open.

    Raises:
        ConfigError: another recorder has it, or it cannot be written.
    """
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; choose a folder to write to") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(
            f"another recorder writes to {folder}; choose another --out, or stop it"
        ) from None
    return lock
