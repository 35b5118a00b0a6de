"""Checksums within segments: lines are used once a checksum that follows them agrees.

A segment that a kill cut short lacks gzip's own checksum, which stands at its end. A marker after
all that the recorder writes at once therefore has the CRC-32 of the segment so far.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import Final

from zlib_ng import zlib_ng

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.segments import FRAME, HEAD, MARKER, SUM, is_line, marker_line
from kalshi_sim.ingest.sources import Source

_SUM: Final = b'"marker":"%b"' % SUM.encode()
_OF_SUM: Final = b'"what":{"crc32":'
_CRC: Final = re.compile(rb'"what":\{"crc32":(\d{1,10})\}\}')
_MOST_BYTES: Final = 2**22
"""A checksum follows lines of so many bytes at the latest, or one longer line."""
_NO_CRC: Final = -1
"""Of a marker whose checksum cannot be read."""


class SumWriter:
    """The checksum of what was written into a segment so far."""

    def __init__(self) -> None:
        """Nothing was."""
        self._crc = 0

    def with_sums(self, lines: Iterable[bytes], wall_ns: int) -> bytes:
        """Lines, each few of them with a marker that has the checksum of all up to it.

        Args:
            lines: what is written next.
            wall_ns: the wall clock.

        Returns:
            The text to write.
        """
        out: list[bytes] = []
        some: list[bytes] = []
        size = 0
        for line in lines:
            some.append(line)
            size += len(line)
            if size >= _MOST_BYTES:
                out.append(self._summed(some, wall_ns))
                some, size = [], 0
        if some:
            out.append(self._summed(some, wall_ns))
        return b"".join(out)

    def _summed(self, lines: list[bytes], wall_ns: int) -> bytes:
        text = b"".join(lines)
        crc = zlib_ng.crc32(text, self._crc)
        marker = marker_line(wall_ns, time.monotonic_ns(), 0, SUM, crc32=crc)
        self._crc = zlib_ng.crc32(marker, crc)
        return text + marker


class SumReader:
    """Gives the lines of a segment as far as its checksums agree."""

    def __init__(self, source: Source, *, sums: bool) -> None:
        """Nothing was read.

        Args:
            source: the segment.
            sums: whether it has checksums, as its header says; without them lines are given as
                they come.
        """
        self._path = source.path
        self._most = source.limits.max_line_bytes + 2 * _MOST_BYTES
        self._sums = sums
        self._crc = 0
        self._waiting: list[bytes] = []
        self.lines = 0
        """How many were given."""
        self.left_out = 0
        """Bytes that no checksum follows, at the end or before another segment's header."""

    def take(self, text: bytes) -> bytes:
        """Lines that are whole by now: of this text, and of earlier texts.

        Args:
            text: what comes next in the segment.

        Returns:
            Lines; of what is left out before another segment's header, blank ones.

        Raises:
            DataError: lines are not as they were written.
        """
        marks = sorted([*_sums(text), *_headers(text)])
        self._sums |= any(crc is not None for _, _, crc in marks)
        if not self._sums:
            self.lines += text.count(b"\n")
            return text
        given: list[bytes] = []
        begin = 0
        for start, stop, crc in marks:
            self._waiting.append(text[begin:start])
            begin = stop
            if crc is None:  # segments that were joined into one file
                self.left_out += self._check_rest()
                given += [b"\n" * part.count(b"\n") for part in self._waiting]
                self._waiting, self._crc = [], 0
                continue
            self._crc = zlib_ng.crc32(self._waiting[-1], self._crc)
            if crc != self._crc:
                self._say_damaged(given)
            given += [*self._waiting, text[start:stop]]
            self._crc = zlib_ng.crc32(given[-1], self._crc)
            self._waiting = []
        self._waiting.append(text[begin:])
        self._crc = zlib_ng.crc32(self._waiting[-1], self._crc)
        if sum(map(len, self._waiting)) > self._most:
            self._say_damaged(given)
        whole = b"".join(given)
        self.lines += whole.count(b"\n")
        return whole

    def finish(self) -> None:
        """There is no more text; what no checksum follows is left out.

        Raises:
            DataError: it is not what a kill leaves.
        """
        self.left_out += self._check_rest()
        self._waiting = []

    def _check_rest(self) -> int:
        """How many bytes no checksum follows: lines of one writing that was cut short.

        Raises:
            DataError: they are others, so a checksum among them is no more to be known.
        """
        rest = b"".join(self._waiting)
        for line in rest.split(b"\n")[:-1]:
            if not is_line(line) or (not line.startswith(FRAME) and _OF_SUM in line):
                self._say_damaged([])
        return len(rest)

    def _say_damaged(self, given: list[bytes]) -> None:
        lines = self.lines + sum(part.count(b"\n") for part in given)
        kept = f"; its first {lines:,} lines are whole, unpack those" if lines else ""
        raise DataError(
            f"{self._path} is damaged after line {lines:,}: what follows is not what its checksum "
            f"says; fetch it again, or leave it out{kept}"
        )


def _sums(text: bytes) -> Iterator[tuple[int, int, int | None]]:
    """Where the lines of checksums begin and end, and the checksum."""
    at = text.find(_SUM)
    while at >= 0:
        start, stop = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at) + 1
        if stop and text.startswith(MARKER, start):
            found = _CRC.fullmatch(text, at + len(_SUM) + 1, stop - 1)
            yield start, stop, int(found[1]) if found else _NO_CRC
        at = text.find(_SUM, at + 1)


def _headers(text: bytes) -> Iterator[tuple[int, int, int | None]]:
    """Where lines begin that are headers."""
    at = text.find(HEAD)
    while at >= 0:
        if at == 0 or text[at - 1 : at] == b"\n":
            yield at, at, None
        at = text.find(HEAD, at + 1)
